/* thread.c - see thread.h. */
#include "sbc/base/thread.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICER 10
#define NICEST 19
#define SLICE_NS 100000 /* the smallest there is */

/* as the kernel has it (sched_setattr(2)); glibc knows no name for it */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* A thread begins with what its maker had, so all of it is said. */
static void ask(uint32_t policy, int32_t nicer, uint64_t slice_ns)
{
	struct attr now, a = {.size = sizeof(a), .policy = policy, .runtime_ns = slice_ns};

	if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) < 0)
		return;
	/* who was made to run before all others, by the unit for example, keeps it where it is meant for: the loop */
	if (policy == SCHED_OTHER && now.policy != SCHED_OTHER)
		return;
	a.nice = now.nice + nicer > NICEST ? NICEST : now.nice + nicer;
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void thread_prompt(void)
{
	ask(SCHED_OTHER, 0, SLICE_NS);
}

void thread_patient(void)
{
	ask(SCHED_BATCH, 0, 0);
}

void thread_background(void)
{
	ask(SCHED_BATCH, NICER, 0);
}

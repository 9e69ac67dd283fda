/* thread.h - how a thread gets the core when others of this process want it too.
 *
 * A call that waits is heard, a handshake or a row of the database that waits is not. What the system does not know or
 * does not allow is left out without a word: it costs promptness, not service.
 */
#ifndef SBC_BASE_THREAD_H
#define SBC_BASE_THREAD_H

/* The calling thread wakes often, runs briefly and is waited for: it asks for small slices of the core, so that who runs
 * already gives way sooner (Linux 6.12 and later; elsewhere nothing changes). */
void thread_prompt(void);
/* The calling thread disturbs nobody by waking: what runs goes on running. It keeps its full share. */
void thread_patient(void);
/* The calling thread does work that may be late: patient, and with a small share while the core is wanted by others. */
void thread_background(void);

#endif

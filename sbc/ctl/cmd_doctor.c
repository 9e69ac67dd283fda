/* cmd_doctor.c - `postern doctor`: everything `status` finds, and what the machine around the daemon has to say.
 *
 * The machine is asked on the store thread, since files and directories may be slow: kernel ports against media
 * ranges, descriptors, room on the disk, who can read keys and the database, the clock, datagrams the kernel threw
 * away, processors and memory. Each check makes one row {level, area, text, todo}; level 0 is well and shown with
 * --all. What this process may not ask (a hardened unit hides the clock) is no finding.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <unistd.h>

#include "sbc/base/file.h"
#include "sbc/ctl/view.h"

#define DISK_WARN ((uint64_t)512 << 20) /* bytes free where records are written */
#define DISK_FULL ((uint64_t)32 << 20)
#define CLOCK_WARN_US 500000            /* traces of two boxes can no longer be laid side by side */

struct range {
	char name[CONF_NAME_MAX + 1];
	uint16_t first, last;
};

/* What the store thread needs of the configuration: copied, since it may be replaced meanwhile. */
struct doctor {
	char state_dir[256];
	uint64_t descriptors; /* that ports, connections and calls may need */
	unsigned n_ranges, n_keys;
	struct range range[CONF_REALMS_MAX];
	char key[CONF_CERTS_MAX][256];
};

static void row(struct ctl_req *r, int level, const char *area, const char *todo, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static void row(struct ctl_req *r, int level, const char *area, const char *todo, const char *fmt, ...)
{
	struct text t = {0};
	json_t *j = json_object();
	va_list ap;

	va_start(ap, fmt);
	text_vfmt(&t, fmt, ap);
	va_end(ap);
	json_object_set_new(j, "level", json_integer(level));
	json_object_set_new(j, "area", json_string(area));
	json_object_set_new(j, "text", print_json(text_get(&t)));
	json_object_set_new(j, "todo", print_jsonz(todo));
	json_array_append_new(r->made, j);
	text_fini(&t);
}

static void check_ports(struct ctl_req *r, const struct doctor *d)
{
	struct media_kernel_ports k;

	media_kernel_ports_read(&k);
	for (unsigned i = 0; i < d->n_ranges; i++) {
		const struct range *g = &d->range[i];
		struct str fix = media_kernel_ports_fix(&k, g->first, g->last);
		struct text todo = {0};

		if (str_empty(fix)) {
			row(r, 0, "ports", "", "media ports %u-%u of realm %s are ours alone", g->first, g->last, g->name);
			continue;
		}
		text_fmt(&todo, "sysctl -w net.ipv4.ip_local_reserved_ports=%.*s", STR(fix));
		row(r, 1, "ports", text_z(&todo), "the kernel gives ports of %u-%u (media of realm %s) to other programs: %.*s",
		    g->first, g->last, g->name, STR(k.ephemeral));
		text_fini(&todo);
	}
}

static void check_descriptors(struct ctl_req *r, const struct doctor *d)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (lim.rlim_cur < d->descriptors)
		row(r, 1, "limits", "LimitNOFILE= in the unit, or ulimit -n",
		    "%llu open files are allowed, and all media ports and connections together are %llu",
		    (unsigned long long)lim.rlim_cur, (unsigned long long)d->descriptors);
	else
		row(r, 0, "limits", "", "%llu open files are allowed, %llu may be needed", (unsigned long long)lim.rlim_cur,
		    (unsigned long long)d->descriptors);
}

static void check_disk(struct ctl_req *r, const struct doctor *d)
{
	struct statvfs v;
	uint64_t free_bytes;

	if (statvfs(d->state_dir, &v) < 0) {
		row(r, 2, "disk", "box.state-dir in postern.conf", "%s: %s", d->state_dir, strerror(errno));
		return;
	}
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	row(r, free_bytes < DISK_FULL ? 2 : free_bytes < DISK_WARN ? 1 : 0, "disk",
	    "make room, or postern cdr export and delete old records", "%llu MiB are free in %s",
	    (unsigned long long)(free_bytes >> 20), d->state_dir);
	if (v.f_files && v.f_favail < 1000)
		row(r, 1, "disk", "find what makes so many files", "%llu files can still be made in %s",
		    (unsigned long long)v.f_favail, d->state_dir);
}

/* What others of the machine could read. */
static void check_modes(struct ctl_req *r, const struct doctor *d)
{
	char path[300];
	struct stat st;
	unsigned well = 0;

	for (unsigned i = 0; i <= d->n_keys; i++) {
		struct text todo = {0};
		struct buf b;

		buf_init(&b, path, sizeof(path));
		if (i < d->n_keys)
			buf_str(&b, str_z(d->key[i]));
		else
			buf_fmt(&b, "%s/postern.db", d->state_dir);
		if (buf_err(&b) || stat(buf_z(&b), &st) < 0)
			continue; /* one that is missing has been told of by whoever needs it */
		if (!(st.st_mode & (i < d->n_keys ? 0027 : 0077))) {
			well++;
			continue;
		}
		text_fmt(&todo, "chmod %s %s", i < d->n_keys ? "0640" : "0600", buf_z(&b));
		row(r, 2, "files", text_z(&todo), "%s can be read or written by others (mode %04o)", buf_z(&b),
		    (unsigned)(st.st_mode & 07777));
		text_fini(&todo);
	}
	if (well)
		row(r, 0, "files", "", "%u file%s with secrets can be read by nobody else", well, well == 1 ? "" : "s");
}

static void check_clock(struct ctl_req *r)
{
	struct timex tx = {.modes = 0};
	int64_t off_us;
	int state = adjtimex(&tx);

	if (state < 0)
		return; /* not allowed to ask */
	off_us = tx.status & STA_NANO ? tx.offset / 1000 : tx.offset;
	if (tx.status & STA_UNSYNC)
		row(r, 1, "clock", "timedatectl set-ntp yes", "nothing keeps the clock right: records and certificates go by it");
	else if (off_us > CLOCK_WARN_US || off_us < -CLOCK_WARN_US)
		row(r, 1, "clock", "timedatectl timesync-status", "the clock is wrong by %lld ms", (long long)off_us / 1000);
	else
		row(r, 0, "clock", "", "the clock is kept right, off by %lld us", (long long)off_us);
}

/* Column of a counter in /proc/net/snmp: two lines "Udp: names", "Udp: values". */
static bool udp_counter(struct str text, struct str name, uint64_t *ret)
{
	struct str names = STR_NONE, values = STR_NONE, line;

	while (!str_empty(text)) {
		text = str_cut(text, '\n', &line);
		if (!str_prefix(line, S("Udp: ")))
			continue;
		if (str_empty(names))
			names = line;
		else
			values = line;
	}
	while (!str_empty(names) && !str_empty(values)) {
		struct str n, v;

		names = str_cut(names, ' ', &n);
		values = str_cut(values, ' ', &v);
		if (str_eq(n, name))
			return str_u64(v, UINT64_MAX, ret) == 0;
	}
	return false;
}

static void check_kernel(struct ctl_req *r)
{
	char text[8192];
	struct str t = file_head("/proc/net/snmp", text, sizeof(text));
	uint64_t in, lost;

	if (!udp_counter(t, S("RcvbufErrors"), &lost) || !udp_counter(t, S("InDatagrams"), &in))
		return;
	if (lost > in / 10000)
		row(r, 1, "kernel", "sysctl -w net.core.rmem_max=8388608, and look at the load of the box",
		    "%llu of %llu datagrams were thrown away since boot: nobody took them in time", (unsigned long long)lost,
		    (unsigned long long)(in + lost));
	else
		row(r, 0, "kernel", "", "%llu of %llu datagrams were thrown away since boot", (unsigned long long)lost,
		    (unsigned long long)(in + lost));
}

static void check_load(struct ctl_req *r)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sysinfo si;
	double load;

	if (sysinfo(&si) < 0 || cpus < 1)
		return;
	load = (double)si.loads[1] / 65536.0;
	row(r, load > 2.0 * (double)cpus ? 1 : 0, "cpu", "find what else runs here: top",
	    "%.1f programs wanted a processor on average in five minutes, %ld are there", load, cpus);
	if (si.totalram) {
		uint64_t all = (uint64_t)si.totalram * si.mem_unit;
		uint64_t swapped = (uint64_t)(si.totalswap - si.freeswap) * si.mem_unit;

		row(r, swapped > all / 10 ? 1 : 0, "memory", "find what needs it: calls wait while their memory is read from the disk",
		    "%llu MiB memory, %llu MiB swapped out", (unsigned long long)(all >> 20), (unsigned long long)(swapped >> 20));
	}
}

static enum reason examine(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	const struct doctor *d = r->work;

	(void)h;
	r->made = json_array();
	if (!r->made)
		return db_fail(err, REASON_NO_MEMORY, "", "out of memory");
	check_ports(r, d);
	check_descriptors(r, d);
	check_disk(r, d);
	check_modes(r, d);
	check_clock(r);
	check_kernel(r);
	check_load(r);
	return REASON_NONE;
}

static void examined(struct ctl_req *r)
{
	json_t *trunks = view_trunks(r->be, b2b_policy(r->be->b2b), NULL), *e;
	unsigned well = 0;
	size_t i;

	json_array_foreach(r->made, i, e)
		well += json_integer_value(json_object_get(e, "level")) == 0;
	ctl_set(r, "checks", json_incref(r->made));
	ctl_say(r, "ok    %u of %zu checks of this machine\n", well, json_array_size(r->made));
	json_array_foreach(r->made, i, e)
		if (ctl_flag(r, "--all") && json_integer_value(json_object_get(e, "level")) == 0)
			ctl_say(r, "ok    %-8s %s\n", json_string_value(json_object_get(e, "area")),
			    json_string_value(json_object_get(e, "text")));
	for (int level = 2; level > 0; level--)
		json_array_foreach(r->made, i, e)
			if (json_integer_value(json_object_get(e, "level")) == level)
				ctl_finding(r, level, json_string_value(json_object_get(e, "area")),
				    json_string_value(json_object_get(e, "todo")), "%s",
				    json_string_value(json_object_get(e, "text")));
	view_findings(r, trunks);
	json_decref(trunks);
	if (r->code == 0)
		ctl_say(r, "nothing is wrong\n");
	ctl_end(r);
}

void cmd_doctor(struct ctl_req *r)
{
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	struct doctor *d = calloc(1, sizeof(*d));

	r->work = d;
	if (!d) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	snprintf(d->state_dir, sizeof(d->state_dir), "%s", c->state_dir);
	d->descriptors = 64 + (uint64_t)c->limits.tcp_connections;
	for (unsigned i = 0; i < c->n_realms; i++) {
		const struct conf_realm *cr = &c->realms[i];
		unsigned families = !addr_none(&cr->media4.bind) + !addr_none(&cr->media6.bind);

		if (families == 0)
			continue;
		snprintf(d->range[d->n_ranges].name, sizeof(d->range->name), "%.*s", STR(cr->name));
		d->range[d->n_ranges].first = cr->port_min;
		d->range[d->n_ranges++].last = cr->port_max;
		d->descriptors += families * (uint64_t)(cr->port_max - cr->port_min + 1);
	}
	for (unsigned i = 0; i < c->n_certs; i++)
		snprintf(d->key[d->n_keys++], sizeof(d->key[0]), "%s", c->certs[i].key);
	ctl_read(r, examine, examined);
}

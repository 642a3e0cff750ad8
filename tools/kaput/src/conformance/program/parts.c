//= head
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#define M "/sys/devices/vfio_ap/matrix/"
#define SAY(call) do { printf("%s = ", #call); long r_ = (call); printf("%ld %s\n", r_, r_ < 0 ? strerror(-r_) : ""); calls++; } while (0)
#define ERR(call) ({ long e_ = (call); e_ < 0 ? -errno : e_; })
struct device { const char *uuid; int file, stream, kvm, iommu; } a = { .uuid = "6b617075-7400-4000-8000-00000000000a", .stream = -1 }, b = { .uuid = "6b617075-7400-4000-8000-00000000000b", .stream = -1 };
struct call { struct device *d; int verb; long value, size, at, result; unsigned char *buffer, page[4096]; pthread_t thread; int faults, ended; };
static unsigned char bytes[1 << 16] __attribute__((aligned(4096)));
static long length;
static volatile int calls;
long put(const char *path, const char *value) { int fd = open(path, O_WRONLY); if (fd < 0) return -errno; long r = ERR(write(fd, value, strlen(value))); close(fd); return r; }
long set(struct device *d, uint32_t state) { uint32_t f[4] = { 16, 1 << 17 | 2, state, -1 }; if (ioctl(d->file, 0x3b75, f) < 0) return -errno; if ((int)f[3] >= 0) d->stream = f[3]; return 0; }
long get(struct device *d) { uint32_t f[4] = { 16, 1 << 16 | 2, 0, -1 }; return ioctl(d->file, 0x3b75, f) < 0 ? -errno : (long)f[2]; }
long tell_kvm(struct device *d, uint64_t add) { int32_t fd = d->file; struct { uint32_t flags, group; uint64_t attr, addr; } t = { 0, 1, add, (uint64_t)&fd }; return ERR(ioctl(d->kvm, 0x4018aee1, &t)); }
long open_device(struct device *d) { char path[128]; glob_t g; snprintf(path, sizeof path, M "%s/vfio-dev/vfio*", d->uuid); if (glob(path, 0, 0, &g)) return -ENODEV;
	snprintf(path, sizeof path, "/dev/vfio/devices%s", strrchr(g.gl_pathv[0], '/')); d->file = open(path, O_RDWR); d->iommu = open("/dev/iommu", O_RDWR); tell_kvm(d, 1);
	uint32_t alloc[3] = { 12 }, bind[4] = { 16, 0, d->iommu }; ioctl(d->iommu, 0x3b81, alloc); long r = ERR(ioctl(d->file, 0x3b76, bind)); uint32_t to[3] = { 12, 0, alloc[2] }; ioctl(d->file, 0x3b77, to); return r; }
long close_device(struct device *d) { tell_kvm(d, 2); long r = ERR(close(d->file)); close(d->iommu); return r; }
void make(struct device *d, const char *first, const char *second) { char path[128]; const char *to[4] = { "adapter", "adapter", "domain", "domain" }, *what[4] = { first, second, "0x33", "0x3a" };
	put(M "mdev_supported_types/vfio_ap-passthrough/create", d->uuid); for (int i = 0; i < 4; i++) { snprintf(path, sizeof path, M "%s/assign_%s", d->uuid, to[i]); put(path, what[i]); }
	int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, 0xae01, 0); uint32_t create[3] = { 4 }; ioctl(vm, 0xc00caee0, create); d->kvm = create[1]; open_device(d); }
//= watch
void *watch(void *none) { for (int seen = -1; seen != calls; sleep(15)) seen = calls; puts("\nSHOWN: a call does not return"); fflush(stdout); _exit(1); return none; }
//= work
static volatile int go = 1;
void *work(void *p) { struct call *c = p; while (!go); c->result = c->verb == 'w' ? ERR(write(c->d->stream, c->buffer, c->size)) : c->verb == 'r' ? ERR(read(c->d->stream, c->buffer, c->size)) : c->verb == 's' ? set(c->d, c->value) :
		c->verb == 'c' ? ERR(close(c->d->stream)) : c->verb == 'd' ? close_device(c->d) : ERR(ioctl(c->d->file, 0x3b6f)); c->ended = 1; return 0; }
struct call *begin(struct device *d, int verb, long value, long from, long size, long at) { struct call *c = calloc(1, sizeof *c); *c = (struct call) { .d = d, .verb = verb, .value = value, .size = size, .at = at };
	unsigned char *region = mmap(0, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); long there = at < 0 ? size : at; c->buffer = region + 65536 - there; memcpy(c->buffer, bytes + from, there);
	if (at >= 0) { memcpy(c->page, bytes + from + at, size - at < 4096 ? size - at : 4096); c->faults = syscall(355, 0); uint64_t api[3] = { 0xaa }, reg[4] = { (uint64_t)region + 65536, 4096, 1 }; ioctl(c->faults, 0xc018aa3f, api); ioctl(c->faults, 0xc020aa00, reg); }
	pthread_create(&c->thread, 0, work, c); char message[32]; if (at >= 0 && read(c->faults, message, 32) < 0) perror("userfaultfd"); return c; }
long end(struct call *c) { uint64_t copy[5] = { (uint64_t)c->buffer + c->at, 0, 4096 }; unsigned char *page = aligned_alloc(4096, 4096); memcpy(page, c->page, 4096); copy[1] = (uint64_t)page; if (c->at >= 0) ioctl(c->faults, 0xc028aa03, copy); pthread_join(c->thread, 0); return c->result; }
//= fail
long fail(int number, const char *path, const char *value) { char n[12]; int f = open("/proc/thread-self/fail-nth", O_RDWR), fd = open(path, O_WRONLY); long l = sprintf(n, "%d", number); if (write(f, n, l) < 0) return -errno;
	long r = ERR(write(fd, value, strlen(value))); if (pwrite(f, "0", 1, 0) < 0) return -errno; close(f); close(fd); return r; }
//= traces
void traces(void) {
	char line[256];
	glob_t g;
	glob("/sys/kernel/debug/slab/kmalloc-*/alloc_traces", 0, 0, &g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		FILE *f = fopen(g.gl_pathv[i], "r");
		while (f && fgets(line, sizeof line, f)) {
			if (strstr(line, "vfio_ap") && atoi(line) >= 40)
				printf("SHOWN: alive after all rounds: %s", line);
		}
	}
}
//= main
int main(void) {
	setvbuf(stdout, 0, _IONBF, 0);
	mount("devtmpfs", "/dev", "devtmpfs", 0, 0), mount("proc", "/proc", "proc", 0, 0), mount("sysfs", "/sys", "sysfs", 0, 0), mount("debugfs", "/sys/kernel/debug", "debugfs", 0, 0);
	put("/sys/bus/ap/apmask", "-0x04,-0x05,-0x06"); put("/sys/module/lockdep/parameters/prove_locking", "0");
	put("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"), put("/sys/kernel/debug/failslab/verbose", "0");
	make(&a, "0x4", "0x5"); make(&b, "0x6", "0x6");
	set(&a, 3); length = read(a.stream, bytes, sizeof bytes); close(a.stream); set(&a, 2); printf("a stream of %ld bytes\n", length);

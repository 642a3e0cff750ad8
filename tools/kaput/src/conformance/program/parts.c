//= base
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>
#define M "/sys/devices/vfio_ap/matrix/"
#define A "6b617075-7400-4000-8000-00000000000a"
#define ERR(x) ({ long e = (x); e < 0 ? -errno : e; })
#define PUT(path, value) ERR(dprintf(open(path, O_WRONLY), value))
#define SAY(x) ({ long r = (x); printf("%s: %ld %s\n", #x, r, r < 0 ? strerror(-r) : ""); r; })
enum { GET = 1 << 16 | 2, SET = 1 << 17 | 2, STOP = 1, RUNNING, STOP_COPY, RESUMING };
struct device { const char *nodes; int file, stream, vfio[3], bind[4]; };
struct device a = { M A "/vfio-dev/vfio*", -1, -1, { 4 }, { 16 } };
static unsigned char bytes[1 << 16]; static long length;
//= state
long state(struct device *d, int what, int value) { // VFIO_DEVICE_FEATURE
	int feature[4] = { 16, what, value, -1 };
	if (ioctl(d->file, 0x3b75, feature) < 0) return -errno;
	if (feature[3] >= 0) d->stream = feature[3];
	return what == SET ? 0 : feature[2];
}
//= open
long open_device(struct device *d) { // for a guest of its own: KVM, then VFIO_DEVICE_BIND_IOMMUFD
	char node[96] = "/dev/vfio/devices";
	glob_t found;
	if (glob(d->nodes, 0, 0, &found)) return -ENODEV;
	d->file = open(strcat(node, strrchr(found.gl_pathv[0], '/')), O_RDWR);
	if (!d->bind[2]) ioctl(ioctl(open("/dev/kvm", O_RDWR), 0xae01, 0), 0xc00caee0, d->vfio);
	if (!d->bind[2]) d->bind[2] = open("/dev/iommu", O_RDWR);
	ioctl(d->vfio[1], 0x4018aee1, (long[3]) { 1, 1, (long)&d->file }); // KVM_DEV_VFIO_FILE_ADD
	return ERR(ioctl(d->file, 0x3b76, d->bind));
}
//= close
long close_device(struct device *d) {
	ioctl(d->vfio[1], 0x4018aee1, (long[3]) { 1, 2, (long)&d->file }); // KVM_DEV_VFIO_FILE_DEL
	return ERR(close(d->file));
}
//= watch
#include <pthread.h>
void *watch(void *none) { return sleep(60), puts("SHOWN: a call does not return"), _exit(1), none; }
//= park
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
struct call { long at; int fd; char *buffer; pthread_t thread; } c1, c2;
void park(struct call *c, void *(*does)(void *), long at) { // where byte `at` is not there yet
	char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long api[3] = { 0xaa }, range[4] = { (long)page + 4096, 4096, 1 };
	*c = (struct call) { at, syscall(SYS_userfaultfd, O_NONBLOCK), page + 4096 - at, 0 };
	ioctl(c->fd, 0xc018aa3f, api), ioctl(c->fd, 0xc020aa00, range);
	pthread_create(&c->thread, 0, does, memcpy(c->buffer, bytes, at));
	if (poll(&(struct pollfd) { c->fd, POLLIN, 0 }, 1, 5000) < 1) puts("it does not wait there");
}
long end(struct call *c) { // UFFDIO_COPY gives the bytes that it waits for
	void *result = 0;
	ioctl(c->fd, 0xc028aa03, (long[5]) { (long)c->buffer + c->at, (long)bytes + c->at, 4096 });
	return pthread_join(c->thread, &result), (long)result;
}
//= fail
long fail(int number, const char *path, const char *value) { // in the allocation of this number
	int nth = open("/proc/thread-self/fail-nth", O_RDWR), fd = open(path, O_WRONLY);
	dprintf(nth, "%d", number);
	long r = ERR(write(fd, value, strlen(value)));
	if (pwrite(nth, "0", 1, 0) < 0) r = -errno;
	return close(nth), close(fd), r;
}
//= traces
#include <stdlib.h>
long alive(void) { // allocations of the driver, by the slabs' traces
	char line[256];
	long sum = 0;
	glob_t found;
	if (glob("/sys/kernel/debug/slab/kmalloc-*/alloc_traces", 0, 0, &found)) return -ENOENT;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *traces = fopen(found.gl_pathv[i], "r");
		while (traces && fgets(line, sizeof line, traces))
			if (strstr(line, "vfio_ap")) sum += atoi(line), printf("%s", line);
	}
	return sum;
}
//= shows
void shows(const char *file, const char *right) {
	char seen[4096] = "";
	if (read(open(file, O_RDONLY), seen, sizeof seen - 1) < 0) perror(file);
	printf("%s:\n%s", file, seen);
	if (length > 0 && strcmp(seen, right)) printf("SHOWN: it should be\n%s", right);
}
//= together
#include <pthread.h>
static volatile int go;
//= facilities
#include <stdlib.h>
void facilities(void) { // of the first queue: in the stream, and as the AP bus shows them
	unsigned long card, stream = *(unsigned *)(bytes + 16);
	char text[16] = "";
	int file = open("/sys/bus/ap/devices/card04/ap_functions", O_RDONLY);
	if (read(file, text, sizeof text - 1) < 0) perror("card04");
	card = strtoul(text, 0, 16);
	printf("the stream has %#010lx, the card %#010lx\n", stream, card);
	if (length > 0 && (stream & card) != card) puts("SHOWN: the stream lacks what the card has");
}
//= b
#define B "6b617075-7400-4000-8000-00000000000b"
struct device b = { M B "/vfio-dev/vfio*", -1, -1, { 4 }, { 16 } };
//= main
int main(void) {
	mount("devtmpfs", "/dev", "devtmpfs", 0, 0), mount("sysfs", "/sys", "sysfs", 0, 0);
//= main debugfs
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, 0);
//= main fail
	mount("proc", "/proc", "proc", 0, 0);
	PUT("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	PUT("/sys/kernel/debug/failslab/verbose", "0");
//= main queues
	PUT("/sys/bus/ap/apmask", "-0x04,-0x05,-0x06,-0x07");
//= main order
	PUT("/sys/module/lockdep/parameters/prove_locking", "0");
//= main create
	PUT(M "mdev_supported_types/vfio_ap-passthrough/create", A);
//= main a
	open_device(&a);
//= main b
	PUT(M "mdev_supported_types/vfio_ap-passthrough/create", B);
	PUT(M B "/assign_adapter", "0x6"), PUT(M B "/assign_domain", "0x33");
	open_device(&a), open_device(&b);
//= main stream
	state(&a, SET, STOP_COPY), length = read(a.stream, bytes, sizeof bytes);
	close(a.stream), state(&a, SET, RUNNING), printf("a stream of %ld bytes\n", length);
//= main watch
	pthread_create(&(pthread_t) { 0 }, 0, watch, 0);

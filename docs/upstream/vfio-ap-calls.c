// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls of the VFIO migration uAPI on a device of vfio_ap, with their answers: what a report says, as a program. It
// wants a kernel with cdev and iommufd, and a mediated device that has queues; nobody may have it open.
//
//   s390x-linux-gnu-gcc -static -O2 -o vfio-ap-calls vfio-ap-calls.c
//   vfio-ap-calls UUID split | incomplete | late-read | length | reset | torn
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef VFIO_DEVICE_BIND_IOMMUFD /* The headers are older than Linux 6.6. */
struct vfio_device_bind_iommufd {
	__u32 argsz, flags;
	__s32 iommufd;
	__u32 out_devid;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif
#ifndef KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_FILE 1
#define KVM_DEV_VFIO_FILE_ADD 1
#endif

static unsigned char stream[4 << 20];
static char folder[128];

static void fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(2);
}

static long say(const char *what, long answer)
{
	int error = errno;

	if (answer < 0)
		printf("%-28s %s\n", what, strerror(error));
	else
		printf("%-28s %ld\n", what, answer);
	return answer;
}

// Asks for a state; the file of the stream where the state has one, else -1.
static int set_state(int device, const char *name, uint32_t state)
{
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_mig_state state;
	} ask = {
		.feature.argsz = sizeof(ask),
		.feature.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		.state = { .device_state = state, .data_fd = -1 },
	};

	say(name, ioctl(device, VFIO_DEVICE_FEATURE, &ask));
	return ask.state.data_fd;
}
#define STATE(name) set_state(device, #name, VFIO_DEVICE_STATE_##name)

static size_t read_all(int file, size_t have)
{
	ssize_t got;

	while ((got = read(file, stream + have, sizeof(stream) - have)) > 0)
		have += got;
	say("read, to the end", got < 0 ? got : (long)have);
	return have;
}

// The device as a user space of VFIO has it: bound to an iommufd, and known to a VM.
static int open_device(void)
{
	char path[512];
	struct dirent *entry;
	DIR *names;
	int device, vm, kvm, iommufd;

	snprintf(path, sizeof(path), "%s/vfio-dev", folder);
	names = opendir(path);
	if (!names)
		fail(path);
	do {
		entry = readdir(names);
	} while (entry && strncmp(entry->d_name, "vfio", 4));
	if (!entry)
		fail("no vfio-dev");
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	device = open(path, O_RDWR);
	iommufd = open("/dev/iommu", O_RDWR);
	kvm = open("/dev/kvm", O_RDWR);
	if (device < 0 || iommufd < 0 || kvm < 0)
		fail(path);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	struct kvm_create_device group = { .type = KVM_DEV_TYPE_VFIO };
	if (vm < 0 || ioctl(vm, KVM_CREATE_DEVICE, &group))
		fail("KVM");
	int32_t number = device;
	struct kvm_device_attr add = { .group = KVM_DEV_VFIO_FILE, .attr = KVM_DEV_VFIO_FILE_ADD };
	add.addr = (uintptr_t)&number;
	if (ioctl(group.fd, KVM_SET_DEVICE_ATTR, &add))
		fail("KVM_DEV_VFIO_FILE_ADD");
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		fail("VFIO_DEVICE_BIND_IOMMUFD");
	return device;
}

// A whole stream of the device itself, and the device running again.
static size_t own_stream(int device)
{
	int file = STATE(STOP_COPY);
	size_t length = read_all(file, 0);

	close(file);
	STATE(RUNNING);
	return length;
}

static uint64_t number(size_t at, size_t width)
{
	uint64_t value = 0;

	while (width--)
		value = value << 8 | stream[at++];
	return value;
}

int main(int count, char **words)
{
	if (count != 3)
		return 2;
	snprintf(folder, sizeof(folder), "/sys/bus/mdev/devices/%s", words[1]);
	int device = open_device(), file;
	size_t length;

	if (!strcmp(words[2], "split")) {
		length = own_stream(device);
		file = STATE(RESUMING);
		say("write, the first 24 bytes", write(file, stream, 24));
		say("write, the rest", write(file, stream + 24, length - 24));
	} else if (!strcmp(words[2], "incomplete")) {
		length = own_stream(device);
		file = STATE(RESUMING);
		say("write, half of it", write(file, stream, length / 2));
		STATE(STOP);
	} else if (!strcmp(words[2], "late-read")) {
		file = STATE(STOP_COPY);
		say("read, 16 bytes", read(file, stream, 16));
		STATE(RUNNING);
		say("read, 16 bytes", read(file, stream, 16));
	} else if (!strcmp(words[2], "length")) {
		length = own_stream(device);
		printf("bytes 8 to 15: %llu, and the stream has %zu\n", (unsigned long long)number(8, 8), length);
	} else if (!strcmp(words[2], "reset")) {
		file = STATE(STOP_COPY);
		say("VFIO_DEVICE_RESET", ioctl(device, VFIO_DEVICE_RESET));
		say("read, 16 bytes", read(file, stream, 16));
	} else if (!strcmp(words[2], "torn")) {
		char path[512];

		length = own_stream(device);
		file = STATE(STOP_COPY);
		say("read, 32 bytes", read(file, stream, 32));
		snprintf(path, sizeof(path), "%s/unassign_domain", folder);
		int mask = open(path, O_WRONLY);
		say("unassign_domain 0x3a", write(mask, "0x3a", 4));
		size_t now = read_all(file, 32);
		printf("%zu bytes before the change, %zu with a change after the first 32\n", length, now);
	} else {
		return 2;
	}
	return 0;
}

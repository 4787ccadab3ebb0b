#!/bin/busybox sh
# The guest's first process: makes it a Linux to test in, runs /test.sh, and
# hands its output and its exit code out through the ports of these names.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do
	insmod "$module"
done
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
mount -t debugfs debug /sys/kernel/debug
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
rm /bin/ip # tests want the whole one or none
ulimit -n 65536
ulimit -l unlimited

port() {
	for wait in 1 2 3 4 5 6 7 8 9 10; do
		name=$(grep -lx "$1" /sys/class/virtio-ports/*/name 2>/dev/null) && break
		sleep 0.1
	done
	name=${name%/name}
	echo "/dev/${name##*/}"
}
/test.sh >"$(port out)" 2>&1 </dev/null
echo $? >"$(port exit)"
poweroff -f

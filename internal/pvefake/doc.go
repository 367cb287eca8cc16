// Package pvefake is a stateful Proxmox VE cluster for tests and the demo: N nodes, each an HTTPS
// listener on a loopback address of its own, one shared state, version 8.4 or 9.2.
//
// A request passes the layers of the real server: path and method (501), ticket or token (401, late
// as in pveproxy), CSRF, the node it is meant for (595 when that node is dead), parameters
// (400 with errors{}), permissions (403), then the handler on the shared state. Facts about methods
// are in facts.go and factswrite*.go; what a method does is in the *_api.go files.
//
// Behind the API a simulation moves in steps of one second: corosync membership and quorum, pvestatd
// samples, tasks, joins (join.go), the HA manager (crm.go, lrm.go). Tests move it with Advance; Start
// moves it with the wall clock. All state is guarded by Cluster.mu; the only goroutines are the
// listeners, their connections and the ticker of Start, all ended by Close.
//
// # From nothing
//
// With Options.Standalone the nodes are in no cluster: each has a pmxcfs with users and keys of its own
// (membership.go), a machine with disks, cards, files and repositories (machine.go), and an SSH server.
// POST /cluster/config makes a cluster of one; POST /cluster/config/join on the others makes them
// members: the member lists the joiner after 1 s, its tickets die after 2 s (401, then 595), corosync
// is up after 6 s, its API restarts after 8 s and is back after 13 s; then the cluster's users count.
// Cluster.Dial reaches the nodes at the addresses that they believe to have.
//
// # What writes are served
//
// apt repositories, update, versions; hosts, dns, time, network (staged until PUT network); cluster
// create, join, nodes add and delete, options; Ceph init, mon, mgr, mds, fs, osd, pool, flags; disks
// wipe; storage.cfg; users, roles, acl, tokens, password; qemu create, config, resize, delete, start, stop,
// migrate; HA resources, groups (8.4), rules (9.2), arm, disarm; backup jobs, schedule-analyze, vzdump.
// What is semantically wrong is refused as the real one does, and accepted where the real one accepts
// it (a filtered content, an unknown node of a storage).
//
// # What is served over SSH
//
// root logs in with Options.RootPassword or one of Options.SSHKeys. Served are (sshcommands.go and its
// neighbours; the rest of the line is free unless said):
//
//	true, uname [-r|-m|-a], hostname [-f|--ip-address], date [+%s.%N], timedatectl show, chronyc tracking, pveversion,
//	lsmod, ls /boot, ping, dpkg-query, dpkg-deb -f FILE FIELD, lsblk, blkid DEV, readlink -f PATH
//	cat, sha256sum, test -e, test -f, stat -c %a, cp, mv, rm -f, mkdir -p; install -m MODE /dev/stdin PATH
//	bash -c 'if test -e "$0" …' PATH; bash -c '… /dev/tcp/$0/$1 …' HOST PORT; bash -c '… /sys/class/net/… ' _ CARD…
//	systemctl is-active|show|start|stop|restart|reload|enable|reenable|disable|daemon-reload|reboot|poweroff, reboot, poweroff
//	systemd-run --unit=NAME --on-active=SECONDS … 'cp … && ifreload -a'; ifreload -a; pmxcfs -l; killall pmxcfs
//	apt-get --simulate dist-upgrade, dpkg --force-confold --configure -a
//	apt-get -y install|dist-upgrade, update (also behind env VAR=…), PROGRAM --version of one that was put there
//	echo b > /proc/sysrq-trigger, systemctl poweroff --force --force, corosync-cfgtool -s, systemctl start|stop ceph-osd@ID;
//	nft --version, nft -f - with the rules of a rehearsal, nft delete table inet quorate_drill; systemd-run with what ends a rehearsal
//	pveceph install --repository R --version V (wants "yes" on stdin), pvesh get|create|set|delete,
//	pvecm status|expected N|add --use_ssh|delnode|qdevice setup|qdevice remove
//	ha-manager status, ha-manager crm-command node-maintenance enable|disable NODE
//	ceph config set|rm|get|dump, ceph auth get-or-create|get|get-key, ceph status|-s|health|--version,
//	ceph osd crush rule create-replicated, ceph osd pool set, ceph osd ok-to-stop; rbd ls, rbd export POOL/IMAGE - | sha256sum
//
// Any other command ends with 127 and is remembered (Cluster.SSHErrors). Commands have no duration
// except pvesh and pvecm add, which move the virtual clock until their task has ended.
//
// # What can go wrong
//
// Inject makes requests, tasks and commands fail (Rule); CrashAfter loses the reply of the k-th request
// after its effect; SilenceJoiner, ExpireTickets, SetServerOnline, SetDisk (an OSD that cannot be made),
// SetLock, StayDown (a boot that does not end), Partition and SetNodeDown are faults of the state itself.
//
// # Real daemons behind it
//
// Options.Perform hands the work of tasks to real daemons, Options.PerformCommand the commands of Ceph that
// come over SSH, and Options.CephStatus tells what a real Ceph says of itself (outside.go). What the fake
// would refuse it refuses without asking them.
//
// The timings are those measured on a PVE 9.2 cluster; where a number is from a source file of
// Proxmox the constant names it.
package pvefake

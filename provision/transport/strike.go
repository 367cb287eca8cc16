package transport

import (
	"strconv"
	"strings"
	"time"
)

// The commands by which a rehearsal takes a node, an OSD or a link away.

// ResetNode resets the machine at once, as a crash does: nothing is written to disk, no service is stopped. The
// connection breaks off.
func ResetNode() Command {
	return Command{Argv: []string{"bash", "-c", "echo b > /proc/sysrq-trigger"}}
}

// PowerOffNode cuts the power at once, without stopping services: an orderly shutdown would let the HA manager
// move them first.
func PowerOffNode() Command {
	return Command{Argv: []string{"systemctl", "poweroff", "--force", "--force"}}
}

// drillTable holds the rules of a rehearsal, drillUndo is the timer that ends it.
const (
	drillTable = "quorate_drill"
	drillUndo  = "quorate-drill-undo"
)

// DrillTime is how long a rehearsal's failure lasts at most, whatever becomes of the rehearsal.
const DrillTime = 10 * time.Minute

// ArmDrillUndo makes the node give a command by itself after DrillTime.
func ArmDrillUndo(undo Command) Command {
	return Command{Argv: append([]string{"systemd-run", "--unit=" + drillUndo, "--on-active=" + strconv.Itoa(int(DrillTime/time.Second)),
		"--timer-property=AccuracySec=1s"}, undo.Argv...)} // it may be a minute late otherwise
}

// DisarmDrillUndo stops what ArmDrillUndo has started.
func DisarmDrillUndo() Command { return StopService(drillUndo + ".timer") }

// corosyncPort is the UDP port of link 0; link N has one that is N higher (corosync.conf(5), mcastport).
const corosyncPort = 5405

// CutCorosync drops what corosync gets on the node, on all links or on those given. Everything else goes on. That
// is enough: without an answer to its pings, either side takes the link for dead. What is sent is left alone,
// because a drop there is an error to corosync, which no broken cable would be.
func CutCorosync(links ...int) Command {
	ports := "5404-5412"
	if len(links) > 0 {
		var each []string
		for _, n := range links {
			each = append(each, strconv.Itoa(corosyncPort+n))
		}
		ports = "{ " + strings.Join(each, ", ") + " }"
	}
	return Command{Argv: []string{"nft", "-f", "-"}, Stdin: []byte("table inet " + drillTable + " {\n" +
		"\tchain in { type filter hook input priority -300; udp dport " + ports + " drop; }\n}\n")}
}

// CanCut ends with 127 on a node without the program that CutCorosync needs.
func CanCut() Command { return Command{Argv: []string{"nft", "--version"}} }

// MendCorosync takes the rules of CutCorosync away.
func MendCorosync() Command {
	return Command{Argv: []string{"nft", "delete", "table", "inet", drillTable}}
}

// CorosyncLinks shows whom a node hears on which link.
func CorosyncLinks() Command { return Command{Argv: []string{"corosync-cfgtool", "-s"}} }

func osdUnit(id int) string { return "ceph-osd@" + strconv.Itoa(id) + ".service" }

// StopOSD stops an OSD on its node.
func StopOSD(id int) Command { return StopService(osdUnit(id)) }

// StartOSD starts an OSD on its node.
func StartOSD(id int) Command { return Command{Argv: []string{"systemctl", "start", osdUnit(id)}} }

// SumImage shows the SHA-256 of an image of RBD. Pool and image are plain words.
func SumImage(pool, image string) Command {
	return Command{Argv: []string{"bash", "-c", "rbd export --no-progress " + quote(pool+"/"+image) + " - | sha256sum"}}
}

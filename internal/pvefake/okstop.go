package pvefake

import (
	"fmt"
	"strconv"
)

// cephOKToStop is ceph osd ok-to-stop ID…: it counts the placement groups that would have fewer copies left
// than their pool must have, each copy being on another host (ceph src/mgr/DaemonServer.cc).
func cephOKToStop(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	s := v.n.c.ceph
	ids, losing := list{}, map[*node]bool{}
	for _, a := range v.args {
		id, err := strconv.Atoi(a)
		o := s.osd(id)
		switch {
		case err != nil:
			return failed(22, "Error EINVAL: invalid osd id '%s'", a)
		case o != nil && o.up() && o.in: // one that is not there cannot harm
			losing[o.n] = true
		}
		ids = append(ids, id)
	}
	good, bad := 0, 0
	for _, p := range s.pools {
		if min(p.needs, s.hosts())-len(losing) < p.minSize {
			bad += p.pgs
		} else {
			good += p.pgs
		}
	}
	report := string(encode(obj{"ok_to_stop": bad == 0, "osds": ids, "num_ok_pgs": good, "num_not_ok_pgs": bad})) + "\n"
	if bad == 0 {
		return output{stdout: report}
	}
	return output{stdout: report, stderr: fmt.Sprintf("Error EBUSY: unsafe to stop osd(s) at this time (%d PGs are or would become offline)\n", bad), exit: 16}
}

package pvefake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cephOSDCreate is pve-manager PVE/API2/Ceph/OSD.pm createosd.
func cephOSDCreate(q *call) (any, error) {
	dev := q.str("dev")
	if !strings.HasPrefix(dev, "/dev/") {
		return nil, fail(500, "got unusual device path '/"+strings.TrimPrefix(dev, "/")+"'")
	}
	d := q.n.box.findDisk(dev)
	if d == nil {
		return nil, fail(500, "not a valid block device")
	}
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	if d.used() != "" {
		return nil, fail(500, "device '"+d.Dev+"' is already in use")
	}
	n, c := q.n, q.c
	class := q.str("crush-device-class")
	if class == "" {
		class = d.Type
	}
	t := n.perform("cephcreateosd", strings.TrimPrefix(d.Dev, "/dev/"), q, 10*time.Second, func(t *task) string {
		t.log = append(t.log, "create OSD on "+d.Dev+" (bluestore)", "wiping block device "+d.Dev)
		if d.used() != "" {
			return "device '" + d.Dev + "' is already in use"
		}
		if d.Fails {
			t.log = append(t.log, " stderr: "+d.Dev+": Input/output error", "--> Was unable to complete a new OSD, will rollback changes")
			return "command 'ceph-volume lvm create --data " + d.Dev + "' failed: exit code 1"
		}
		id := s.freeOSD()
		d.osd = id
		s.osds = append(s.osds, &cephOSD{id: id, n: n, dev: d.Dev, bytes: d.Bytes, class: class, in: true, since: c.now.Add(2 * time.Second)})
		slices.SortFunc(s.osds, func(a, b *cephOSD) int { return a.id - b.id })
		if s.pool(".mgr") == nil {
			s.add(&cephPool{name: ".mgr", pgs: 1, size: s.defaultSize(), minSize: s.defaultMinSize(), app: "mgr"}, c.now)
		}
		t.log = append(t.log, fmt.Sprintf("--> ceph-volume lvm activate successful for osd ID: %d", id), "--> ceph-volume lvm create successful for: "+d.Dev)
		return "OK"
	})
	return t.upid(), nil
}

func (s *cephState) freeOSD() int {
	for id := 0; ; id++ {
		if s.osd(id) == nil {
			return id
		}
	}
}

// ownOSD resolves the path's osdid on the answering node.
func (q *call) ownOSD() (*cephState, *cephOSD, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, nil, err
	}
	o := s.osd(int(q.num("osdid", -1)))
	if o == nil || o.n != q.n {
		return s, nil, fail(500, fmt.Sprintf("OSD osd.%s does not belong to node %s! at /usr/share/perl5/PVE/API2/Ceph/OSD.pm line 1008.", q.str("osdid"), q.n.name))
	}
	return s, o, nil
}

func cephOSDDelete(q *call) (any, error) {
	s, o, err := q.ownOSD()
	if err != nil {
		return nil, err
	}
	if o.in {
		return nil, fail(500, "osd is in use (in == 1)")
	}
	cleanup, n := q.flag("cleanup"), q.n
	t := n.startTask("cephdestroyosd", fmt.Sprintf("osd.%d", o.id), q.id.name(), 5*time.Second, func(*task) string {
		s.osds = slices.DeleteFunc(s.osds, func(x *cephOSD) bool { return x == o })
		if d := n.box.findDisk(o.dev); d != nil {
			d.osd, d.Used = -1, "LVM"
			if cleanup {
				d.Used = ""
				n.box.wiped = append(n.box.wiped, d.Dev)
			}
		}
		return "OK"
	})
	return t.upid(), nil
}

func cephOSDMark(in bool) handler {
	return func(q *call) (any, error) {
		_, o, err := q.ownOSD()
		if err == nil {
			o.in = in
		}
		return nil, err
	}
}

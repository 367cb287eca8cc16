package pvefake

import (
	"maps"
	"slices"
)

// cfs is what pmxcfs holds: every quorate node sees the same, a node without quorum sees the last one
// it had and cannot write.
type cfs struct {
	guests  map[int]*guestConf
	ha      haState
	storage []*storageConf
	jobs    []*backupJob
	options map[string]string // datacenter.cfg
	version int               // of the vmlist: grows with each change
}

func newCFS() *cfs {
	return &cfs{
		guests: map[int]*guestConf{},
		ha: haState{
			manager:   managerStatus{nodes: map[string]string{}, services: map[string]*service{}, requests: map[string]map[string]int{}},
			lrm:       map[string]*lrmStatus{},
			resources: map[string]*haResource{},
		},
		storage: []*storageConf{localStorage()},
		options: map[string]string{},
		version: 1,
	}
}

// clone is deep: a frozen view must not move with the live one.
func (f *cfs) clone() *cfs {
	out := &cfs{version: f.version, options: maps.Clone(f.options), guests: map[int]*guestConf{}, ha: f.ha.clone()}
	for id, g := range f.guests {
		copied := *g
		copied.conf, copied.pending = maps.Clone(g.conf), maps.Clone(g.pending)
		out.guests[id] = &copied
	}
	for _, s := range f.storage {
		copied := *s
		copied.conf = maps.Clone(s.conf)
		out.storage = append(out.storage, &copied)
	}
	for _, j := range f.jobs {
		copied := *j
		copied.vmids, copied.conf = slices.Clone(j.vmids), maps.Clone(j.conf)
		out.jobs = append(out.jobs, &copied)
	}
	return out
}

func (h haState) clone() haState {
	out := h
	out.manager.nodes = maps.Clone(h.manager.nodes)
	out.manager.services = map[string]*service{}
	for sid, s := range h.manager.services {
		copied := *s
		copied.failedNodes = slices.Clone(s.failedNodes)
		out.manager.services[sid] = &copied
	}
	out.manager.requests = map[string]map[string]int{}
	for n, r := range h.manager.requests {
		out.manager.requests[n] = maps.Clone(r)
	}
	if h.manager.disarm != nil {
		copied := *h.manager.disarm
		out.manager.disarm = &copied
	}
	out.lrm = map[string]*lrmStatus{}
	for n, l := range h.lrm {
		copied := *l
		copied.results = maps.Clone(l.results)
		out.lrm[n] = &copied
	}
	out.resources = map[string]*haResource{}
	for sid, r := range h.resources {
		copied := *r
		out.resources[sid] = &copied
	}
	out.rules = slices.Clone(h.rules)
	out.groups = slices.Clone(h.groups)
	out.commands = slices.Clone(h.commands)
	return out
}

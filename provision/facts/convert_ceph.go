package facts

import (
	"maps"
	"slices"
	"strings"
)

func toCephStatus(r *row) CephStatus {
	health, pgs, osds := r.object("health"), r.object("pgmap"), r.object("osdmap")
	if osds.has("osdmap") { // before Pacific one level deeper
		osds = osds.object("osdmap")
	}
	s := CephStatus{
		FSID: r.text("fsid"), Health: health.text("status"), Quorum: r.texts("quorum_names"),
		OSDs: osds.int("num_osds"), Up: osds.int("num_up_osds"), In: osds.int("num_in_osds"),
		PGs: pgs.int("num_pgs"), PGStates: map[string]int{}, Total: pgs.int64("bytes_total"), Used: pgs.int64("bytes_used"),
		Checks: slices.Sorted(maps.Keys(health.object("checks").fields)),
	}
	for _, state := range pgs.objects("pgs_by_state") {
		s.PGStates[state.text("state_name")] = state.int("count")
	}
	for _, inner := range []*row{health, pgs, osds} {
		if r.err == nil {
			r.err = inner.err
		}
	}
	return s
}

func toDaemon(r *row) Daemon {
	return Daemon{Name: r.text("name"), Host: r.text("host"), State: r.text("state"), Version: r.text("ceph_version_short"), Quorum: r.bool("quorum")}
}

// toOSDs walks the CRUSH tree below root.
func toOSDs(r *row) []OSD {
	out := []OSD{}
	var walk func(n *row, host string, depth int)
	walk = func(n *row, host string, depth int) {
		if n.text("type") == "host" {
			host = n.text("name")
		}
		if n.text("type") == "osd" {
			if h := n.text("host"); h != "" {
				host = h
			}
			out = append(out, OSD{
				ID: n.int("id"), Host: host, Up: n.text("status") == "up", In: n.bool("in"), Class: n.text("device_class"),
				Version: n.text("ceph_version_short"), Size: n.int64("total_space"),
			})
		}
		if depth < 20 { // no tree of CRUSH types is as deep
			for _, child := range n.objects("children") {
				walk(child, host, depth+1)
				if r.err == nil {
					r.err = child.err
				}
			}
		}
	}
	walk(r.object("root"), "", 0)
	slices.SortFunc(out, func(a, b OSD) int { return a.ID - b.ID })
	return out
}

func toPool(r *row) Pool {
	return Pool{
		Name: r.text("pool_name"), ID: r.int("pool"), Size: r.int("size"), MinSize: r.int("min_size"), PGNum: r.int("pg_num"), PGNumFinal: r.int("pg_num_final"),
		Autoscale: r.text("pg_autoscale_mode"), Erasure: r.text("type") == "erasure", Rule: r.text("crush_rule_name"),
		Applications: slices.Sorted(maps.Keys(r.object("application_metadata").fields)), Used: r.int64("bytes_used"),
	}
}

func toSetting(r *row) Setting {
	return Setting{Section: r.text("section"), Mask: r.text("mask"), Name: r.text("name"), Value: r.text("value")}
}

func toFilesystem(r *row) Filesystem {
	return Filesystem{Name: r.text("name"), MetadataPool: r.text("metadata_pool"), DataPool: r.text("data_pool")}
}

// toGuestConfig keeps every scalar; digest is not part of the configuration.
func toGuestConfig(r *row) GuestConfig {
	c := GuestConfig{}
	for name := range r.fields {
		if name != "digest" {
			c[name] = r.text(name)
		}
	}
	return c
}

// ParseCephConf reads the settings of a section of ceph.conf, with _ between the words of a name, as
// Ceph takes blank, dash and underscore for the same.
func ParseCephConf(conf, section string) map[string]string {
	out := map[string]string{}
	inside := false
	for _, line := range strings.Split(conf, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			inside = strings.TrimSpace(strings.Trim(line, "[]")) == section
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if inside && ok {
			name := strings.Join(strings.FieldsFunc(key, func(c rune) bool { return c == ' ' || c == '\t' || c == '-' || c == '_' }), "_")
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// newVolume reads a disk that is asked for as "STORAGE:GiB,option=value"; ok is false for one that is there already.
func newVolume(value string) (store string, gib float64, options string, ok bool) {
	file, options, _ := strings.Cut(value, ",")
	store, what, ok := strings.Cut(strings.TrimPrefix(file, "file="), ":")
	gib, err := strconv.ParseFloat(what, 64)
	return store, gib, options, ok && err == nil
}

// newImages are those that allocate will make in RBD.
func (q *call) newImages(g *guestConf, asked map[string]string) []Image {
	var out []Image
	conf := maps.Clone(asked)
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		store, gib, options, ok := newVolume(conf[key])
		s := q.storageByID(store)
		if !ok || !diskKeyRE.MatchString(key) || s == nil || s.typ != "rbd" || properties(options, "")["import-from"] != "" {
			continue
		}
		name := q.volumeName(s, g, conf, "raw")
		conf[key] = store + ":" + name
		out = append(out, Image{Pool: s.poolName(), Name: name, Bytes: int64(gib * (1 << 30))})
	}
	return out
}

// allocate makes the volumes that a configuration asks for as "STORAGE:GiB", and writes their names.
func (q *call) allocate(g *guestConf, conf map[string]string, t *task) string {
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		if !diskKeyRE.MatchString(key) {
			continue
		}
		store, size, options, ok := newVolume(conf[key])
		if !ok {
			continue
		}
		s := q.storageByID(store)
		opts := properties(options, "")
		if from := opts["import-from"]; from != "" {
			return fmt.Sprintf("copy failed: command '/usr/bin/qemu-img convert -p -n -O raw %s zeroinit:%s/images/%d/vm-%d-disk-0.raw' failed: exit code 1", from, s.conf["path"], g.vmid, g.vmid)
		}
		if !s.usable(q.n) {
			if s.typ == "rbd" {
				return listingFailed
			}
			return "storage '" + store + "' is not available on node '" + q.n.name + "'"
		}
		format := opts["format"]
		setDefault(&format, "raw")
		name := q.volumeName(s, g, conf, format)
		if s.typ != "rbd" {
			t.log = append(t.log, fmt.Sprintf("Formatting '%s/images/%s', fmt=%s size=%d preallocation=off", s.conf["path"], name, format, int64(size*(1<<30))))
		}
		var kept []string
		for _, part := range strings.Split(options, ",") {
			if part != "" && !strings.HasPrefix(part, "format=") {
				kept = append(kept, part)
			}
		}
		kept = append(kept, "size="+strconv.FormatFloat(size, 'f', -1, 64)+"G")
		q.c.keepImage(s, name, int64(size*(1<<30)))
		conf[key] = store + ":" + name + "," + strings.Join(kept, ",")
		g.disk += int64(size * (1 << 30))
		t.log = append(t.log, key+": successfully created disk '"+conf[key]+"'")
	}
	return ""
}

// keepImage notes an image in its pool, and with 0 bytes removes it.
func (c *Cluster) keepImage(s *storageConf, name string, bytes int64) {
	if s == nil || s.typ != "rbd" || c.ceph == nil {
		return
	}
	p := c.ceph.pool(s.poolName())
	switch {
	case p == nil:
	case bytes == 0:
		delete(p.images, name)
	default:
		if p.images == nil {
			p.images = map[string]int64{}
		}
		p.images[name] = bytes
	}
}

// dropDisks removes a guest's volumes.
func (q *call) dropDisks(g *guestConf) {
	for key, v := range g.conf {
		store, rest, ok := strings.Cut(v, ":")
		name, _, _ := strings.Cut(rest, ",")
		if ok && diskKeyRE.MatchString(key) {
			q.c.keepImage(q.storageByID(store), name, 0)
		}
	}
}

// volumeName is the first free one: vm-100-disk-0 in RBD, 100/vm-100-disk-0.raw in a directory.
func (q *call) volumeName(s *storageConf, g *guestConf, conf map[string]string, format string) string {
	for k := 0; ; k++ {
		name := fmt.Sprintf("vm-%d-disk-%d", g.vmid, k)
		if s.typ != "rbd" && s.typ != "lvm" && s.typ != "lvmthin" && s.typ != "zfspool" {
			name = fmt.Sprintf("%d/%s.%s", g.vmid, name, format)
		}
		taken := func(v string) bool { return strings.HasPrefix(v, s.id+":"+name+",") || v == s.id+":"+name }
		if !slices.ContainsFunc(slices.Collect(maps.Values(conf)), taken) && !slices.ContainsFunc(slices.Collect(maps.Values(g.conf)), taken) {
			return name
		}
	}
}

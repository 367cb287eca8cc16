package pvefake

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// WriteEtcPVE writes /etc/pve as node i sees it below dir: what the readers of the files need
// (.members, .vmlist, corosync.conf, ha/*, nodes/*/lrm_status, guest configurations, storage.cfg).
// Files have mode 0640 and the simulation's time, as in pmxcfs. An earlier view in dir is replaced.
func (c *Cluster) WriteEtcPVE(i int, dir string) error {
	c.mu.Lock()
	n := c.node(i)
	if n == nil {
		c.mu.Unlock()
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	}
	files := n.etcPVE()
	now := c.now
	c.mu.Unlock()
	for name, content := range files {
		if err := writeAt(filepath.Join(dir, name), content, now); err != nil {
			return fmt.Errorf("pvefake: write %s of %s: %w", name, n.name, err)
		}
	}
	return removeStale(dir, files)
}

// writeAt replaces a file in one step: somebody may be reading.
func writeAt(path, content string, at time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(content), 0o640); err != nil {
		return err
	}
	if err := os.Chtimes(tmp, at, at); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// removeStale removes what an earlier view had and this one has not, such as the configuration of a
// guest that moved. It looks only where etcPVE writes.
func removeStale(dir string, files map[string]string) error {
	for _, part := range []string{"nodes", "ha"} {
		err := filepath.WalkDir(filepath.Join(dir, part), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreMissing(err)
			}
			name, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			if _, ok := files[filepath.ToSlash(name)]; !ok {
				return os.Remove(p)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("pvefake: remove the old view: %w", err)
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (n *node) etcPVE() map[string]string {
	c, f := n.c, n.view()
	files := map[string]string{
		".members": n.membersFile(), ".vmlist": f.vmlistFile(), "storage.cfg": f.storageText(), "datacenter.cfg": f.optionsText(),
		"ha/crm_commands": "", "ha/resources.cfg": f.ha.resourcesText(), "jobs.cfg": f.jobsText(),
	}
	if n.inCluster() {
		files["corosync.conf"] = c.corosyncText()
	}
	if f.ha.manager.master != "" {
		files["ha/manager_status"] = string(encode(f.ha.manager.object()))
	}
	if c.opt.Version == V84 {
		files["ha/groups.cfg"] = f.ha.groupsText()
	} else {
		files["ha/rules.cfg"] = f.ha.rulesText()
	}
	for name, l := range f.ha.lrm {
		files["nodes/"+name+"/lrm_status"] = string(encode(l.object()))
	}
	for _, g := range f.guests {
		files[g.configPath()] = g.fileText()
	}
	return files
}

// fileText is the configuration without the marks that are ours.
func (g *guestConf) fileText() string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(g.text(), "\n") {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// membersFile has the layout of pmxcfs, which writes it by hand and not with a JSON library.
func (n *node) membersFile() string {
	c, mates := n.c, n.mates()
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\"nodename\": \"%s\",\n\"version\": %d", n.name, len(mates)*3)
	if n.inCluster() {
		fmt.Fprintf(&b, ",\n\"cluster\": { \"name\": \"%s\", \"version\": %d, \"nodes\": %d, \"quorate\": %d },\n\"nodelist\": {\n",
			c.name(), c.confVersion, len(mates), bit(n.quorate))
		for i, m := range mates {
			sep := ","
			if i == len(mates)-1 {
				sep = ""
			}
			fmt.Fprintf(&b, "  \"%s\": { \"id\": %d, \"online\": %d, \"ip\": \"%s\"}%s\n", m.name, m.nodeID, bit(n.members[m.id]), m.ip, sep)
		}
		b.WriteString("  }")
	}
	b.WriteString("\n}\n")
	return b.String()
}

func (f *cfs) vmlistFile() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\"version\": %d,\n\"ids\": {", f.version)
	for i, g := range f.sortedGuests() {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n\"%d\": { \"node\": \"%s\", \"type\": \"%s\", \"version\": %d }", g.vmid, g.node.name, g.typ(), g.version)
	}
	b.WriteString("}\n\n}\n")
	return b.String()
}

// jobsText is jobs.cfg.
func (f *cfs) jobsText() string {
	var b strings.Builder
	for _, j := range f.jobs {
		fmt.Fprintf(&b, "vzdump: %s\n", j.id)
		for _, k := range slices.Sorted(maps.Keys(j.conf)) {
			fmt.Fprintf(&b, "\t%s %s\n", k, j.conf[k])
		}
		b.WriteString("\n")
	}
	return b.String()
}

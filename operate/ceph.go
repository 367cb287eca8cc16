package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// readCeph asks the first node that has Ceph, beginning with the one that told the rest.
func (c *Cluster) readCeph(ctx context.Context, s *State) error {
	ask := []string{s.Members.Node}
	for _, m := range s.Members.Members {
		if m.Online && m.Name != s.Members.Node && slices.Contains(c.Names, m.Name) {
			ask = append(ask, m.Name)
		}
	}
	for _, node := range ask {
		status, err := living.ReadCeph(ctx, c.Nodes, node)
		switch {
		case living.CephAbsent(err):
		case err != nil:
			return fmt.Errorf("ceph: %w", err)
		default:
			s.Ceph, s.CephNode = &status, node
			return c.readDaemons(ctx, s)
		}
	}
	return nil
}

// readDaemons reads flags, monitors and OSDs, which ceph status only counts.
func (c *Cluster) readDaemons(ctx context.Context, s *State) error {
	var flags []struct {
		Name  string   `json:"name"`
		Value pve.Bool `json:"value"`
	}
	var mons []struct {
		Name   string   `json:"name"`
		Host   string   `json:"host"`
		Quorum pve.Bool `json:"quorum"`
	}
	var tree struct {
		Root crushNode `json:"root"`
	}
	base := "/nodes/" + s.CephNode + "/ceph/"
	for path, out := range map[string]any{"/cluster/ceph/flags": &flags, base + "mon": &mons, base + "osd": &tree} {
		if err := c.Nodes.API(s.CephNode).Get(ctx, path, out); err != nil {
			return fmt.Errorf("ceph: %w", err)
		}
	}
	for _, f := range flags {
		if f.Value.V {
			s.Flags = append(s.Flags, f.Name)
		}
	}
	for _, m := range mons {
		if m.Host == "" {
			m.Host = m.Name // pveceph names them alike
		}
		s.Mons = append(s.Mons, Mon{m.Name, m.Host, m.Quorum.V})
	}
	s.OSDs = tree.Root.osds(nil)
	slices.SortFunc(s.OSDs, func(a, b OSD) int { return a.ID - b.ID })
	return nil
}

// A crushNode is one of the tree that GET /nodes/NODE/ceph/osd shows.
type crushNode struct {
	ID       pve.Int     `json:"id"`
	Type     string      `json:"type"`
	Host     string      `json:"host"`
	Status   string      `json:"status"`
	In       pve.Bool    `json:"in"`
	Children []crushNode `json:"children"`
}

func (n crushNode) osds(all []OSD) []OSD {
	if n.Type == "osd" {
		return append(all, OSD{int(n.ID.V), n.Host, n.Status == "up", n.In.V})
	}
	for _, child := range n.Children {
		all = child.osds(all)
	}
	return all
}

// upOSDs are those of a node that are up.
func (s State) upOSDs(node string) []int {
	var ids []int
	for _, o := range s.OSDs {
		if o.Node == node && o.Up {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// What `ceph osd ok-to-stop` ends with when it is not.
const (
	cephBusy  = 16 // EBUSY: placement groups would go offline
	cephAgain = 11 // EAGAIN: it does not know of all of them
)

// okToStop asks Ceph whether OSDs may stop together; why is "" if so.
func (c *Cluster) okToStop(ctx context.Context, node string, ids []int) (why string, err error) {
	out, err := c.Nodes.Shell(node).Run(ctx, transport.OKToStop(ids...))
	var refused *transport.CommandError
	switch {
	case err == nil:
		return "", nil
	case !errors.As(err, &refused) || refused.Code != cephBusy && refused.Code != cephAgain:
		return "", fmt.Errorf("ask whether OSDs may stop: %w", err)
	}
	var report struct {
		Bad int `json:"num_not_ok_pgs"`
	}
	if json.Unmarshal([]byte(out.Stdout), &report) == nil && report.Bad > 0 {
		return fmt.Sprintf("%d placement groups would go offline", report.Bad), nil
	}
	return strings.TrimPrefix(strings.TrimSpace(refused.Stderr), "Error "), nil
}

// numbers are ids for people.
func numbers(ids []int) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(id)
	}
	return strings.Join(words, ", ")
}

package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// HAFiles are the files of /etc/pve that tell of HA. They answer when the API does not.
type HAFiles struct {
	Members   []byte            // .members
	Manager   []byte            // ha/manager_status; empty if HA was never used
	Resources []byte            // ha/resources.cfg; empty if no resource was ever configured
	LRMs      map[string][]byte // nodes/NODE/lrm_status by node
}

// A haMembers is the file .members, without addresses.
type haMembers struct {
	Self    Text `json:"nodename"`
	Cluster *struct {
		Quorate Bool `json:"quorate"`
	} `json:"cluster"`
	Nodes map[string]json.RawMessage `json:"nodelist"`
}

// nodes are the names of the cluster's nodes. A standalone node has no list.
func (m haMembers) nodes() []string {
	if len(m.Nodes) == 0 && m.Self != "" {
		return []string{string(m.Self)}
	}
	var names []string
	for n := range m.Nodes {
		names = append(names, n)
	}
	return names
}

// ParseHAFiles makes an HA of the files as they were at one moment.
func ParseHAFiles(f HAFiles, at time.Time) (HA, error) {
	var members haMembers
	if err := json.Unmarshal(f.Members, &members); err != nil {
		return HA{}, fmt.Errorf("read .members: %w", err)
	}
	var manager haWireManager
	if err := haUnmarshal(f.Manager, &manager); err != nil {
		return HA{}, fmt.Errorf("read ha/manager_status: %w", err)
	}
	lrms := map[string]haWireLRM{}
	for node, b := range f.LRMs {
		var l haWireLRM
		if haUnmarshal(b, &l) == nil { // as for the API, one bad file costs its own node only
			lrms[node] = l
		}
	}
	h := manager.snapshot(parseHAResources(string(f.Resources)), lrms, at)
	h.Quorate = members.Cluster == nil || members.Cluster.Quorate.V
	return h, nil
}

// haUnmarshal is json.Unmarshal for which an empty file is an empty object.
func haUnmarshal(b []byte, v any) error {
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}

// parseHAResources reads ha/resources.cfg: sections of "TYPE: NAME" with indented "KEY VALUE" lines.
// What the file does not say is Proxmox's default: started, one restart, one relocation.
func parseHAResources(text string) map[string]haResource {
	all := map[string]haResource{}
	sid := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n\t ")
		body := strings.TrimLeft(line, " \t")
		switch {
		case body == "":
			sid = "" // a section ends at an empty line
		case strings.HasPrefix(body, "#"):
		case body == line: // not indented: a heading
			kind, name, ok := strings.Cut(line, ":")
			if sid = ""; ok && strings.TrimSpace(name) != "" {
				sid = kind + ":" + strings.TrimSpace(name)
				all[sid] = haResource{HAServiceStarted, Int{1, true}, Int{1, true}}
			}
		case sid != "":
			key, value, _ := strings.Cut(body, " ")
			all[sid] = all[sid].with(key, strings.TrimSpace(value))
		}
	}
	return all
}

func (r haResource) with(key, value string) haResource {
	switch key {
	case "state":
		r.requested = haRequested(value)
	case "max_restart":
		r.maxRestart = haNumber(value)
	case "max_relocate":
		r.maxRelocate = haNumber(value)
	}
	return r
}

func haNumber(s string) Int {
	var i Int
	if json.Unmarshal([]byte(s), &i) != nil {
		return Int{}
	}
	return i
}

// HAFromFiles returns a reader of the files below etcPVE, which is /etc/pve. It does not look at
// ctx: pmxcfs answers at once or hangs for good, so HAWatch gives up on it instead.
func HAFromFiles(etcPVE fs.FS, now func() time.Time) HAReadFunc {
	return func(context.Context) (HA, error) {
		f, err := readHAFiles(etcPVE)
		if err != nil {
			return HA{}, err
		}
		return ParseHAFiles(f, now())
	}
}

func readHAFiles(etcPVE fs.FS) (f HAFiles, err error) {
	if f.Members, err = haRead(etcPVE, ".members"); err != nil {
		return f, fmt.Errorf("is pmxcfs running? %w", err)
	}
	if f.Manager, err = haReadIfThere(etcPVE, "ha/manager_status"); err != nil {
		return f, err
	}
	if f.Resources, err = haReadIfThere(etcPVE, "ha/resources.cfg"); err != nil {
		return f, err
	}
	var members haMembers
	if err := json.Unmarshal(f.Members, &members); err != nil {
		return f, fmt.Errorf("read .members: %w", err)
	}
	f.LRMs = map[string][]byte{}
	for _, node := range members.nodes() { // not the folders: those of removed nodes stay
		if !fs.ValidPath(node) || strings.Contains(node, "/") {
			continue
		}
		b, err := haReadIfThere(etcPVE, path.Join("nodes", node, "lrm_status"))
		if err != nil {
			return f, err
		}
		if b != nil {
			f.LRMs[node] = b
		}
	}
	return f, nil
}

// haReadIfThere returns nil for a file that does not exist.
func haReadIfThere(root fs.FS, name string) ([]byte, error) {
	b, err := haRead(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// haRead reads a file of at most 8 MiB; pmxcfs itself allows 1 MiB.
func haRead(root fs.FS, name string) ([]byte, error) {
	const most = 8 << 20
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s has more than %d bytes: that is no file of Proxmox", name, most)
	}
	return b, nil
}

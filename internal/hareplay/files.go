package hareplay

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// A fileView holds what of /etc/pve stays from step to step.
type fileView struct {
	resources map[string]Resource
}

// compare reads the step once more, as files of /etc/pve, and wants the same snapshot.
func (v *fileView) compare(s Step, api pve.HA, c *comparison) error {
	if s.Resources != nil {
		v.resources = s.Resources
	}
	if !s.answered() {
		return nil
	}
	f, err := v.files(s)
	if err != nil {
		return err
	}
	h, err := pve.ParseHAFiles(f, time.Unix(s.Time, 0))
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(h, api) {
		c.differ("the files of /etc/pve say %+v, the API %+v", h, api)
	}
	return nil
}

func (v *fileView) files(s Step) (f pve.HAFiles, err error) {
	var status struct {
		Manager json.RawMessage            `json:"manager_status"`
		LRMs    map[string]json.RawMessage `json:"lrm_status"`
	}
	if err := json.Unmarshal(s.Status, &status); err != nil {
		return f, err
	}
	f.Members = fmt.Appendf(nil, `{"nodename":"node1","cluster":{"name":"sim","quorate":%d}}`, s.Quorate)
	f.Manager = status.Manager
	f.LRMs = map[string][]byte{}
	for n, b := range status.LRMs {
		f.LRMs[n] = b
	}
	var text strings.Builder
	for _, sid := range slices.Sorted(maps.Keys(v.resources)) {
		r := v.resources[sid]
		kind, name, _ := strings.Cut(sid, ":")
		fmt.Fprintf(&text, "%s: %s\n\tmax_relocate %d\n\tmax_restart %d\n\tstate %s\n\n", kind, name, r.MaxRelocate, r.MaxRestart, r.State)
	}
	f.Resources = []byte(text.String())
	return f, nil
}

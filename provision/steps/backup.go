package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// backupStep is the scheduled backups.
type backupStep struct{ *Env }

func (*backupStep) ID() engine.ID      { return idBackup }
func (*backupStep) Title() string      { return "backup jobs" }
func (*backupStep) Needs() []engine.ID { return []engine.ID{idStorage} }

func (s *backupStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]map[string]string{}
	if len(s.want().Backup.Jobs) == 0 {
		return seen, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.texts(ctx, m.Node, "/cluster/backup")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		seen[r["id"]] = r
	}
	return seen, nil
}

// jobFields are what the file declares of a job.
func jobFields(j spec.BackupJob) map[string]string {
	f := map[string]string{"schedule": j.Schedule, "storage": j.Storage, "enabled": bit(j.Enabled)}
	set := func(k, v string) {
		if v != "" {
			f[k] = v
		}
	}
	set("mode", j.Mode)
	set("mailnotification", j.Notify)
	set("prune-backups", pruneText(j.Prune))
	if f["compress"] = j.Compress; j.Compress == "none" || j.Compress == "" {
		f["compress"] = "0"
	}
	if j.All {
		f["all"] = "1"
		set("exclude", numbers(j.Exclude))
	} else {
		set("vmid", numbers(j.VMIDs))
	}
	return f
}

func numbers(ids []int) string {
	var parts []string
	for _, id := range ids {
		parts = append(parts, fmt.Sprint(id))
	}
	return strings.Join(parts, ",")
}

// jobDefaults are what a field means that is not there.
var jobDefaults = map[string]string{"enabled": "1", "mode": "snapshot", "compress": "0", "all": "0", "mailnotification": "always"}

func sameJob(key, have, want string) bool {
	if have == "" {
		have = jobDefaults[key]
	}
	switch key {
	case "vmid", "exclude":
		return sameSet(have, want)
	case "prune-backups":
		return propertyString(properties([]byte(`"`+have+`"`))) == want
	}
	return have == want
}

func (s *backupStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[string]map[string]string)
	var out []engine.Change
	for _, j := range s.want().Backup.Jobs {
		want, is := jobFields(j), seen[j.ID]
		path := "backup-job/" + j.ID
		if is == nil {
			out = append(out, engine.Change{Path: path, To: fieldText(want), Action: engine.Create, Risk: engine.Safe, Key: j.ID, Do: params(want)})
			continue
		}
		p := transport.Params{}
		var from, to []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if !sameJob(k, is[k], want[k]) {
				p[k] = want[k]
				from, to = append(from, k+" "+is[k]), append(to, k+" "+want[k])
			}
		}
		// Which guests is said in one of two ways, and the other must go.
		for _, other := range []string{"vmid", "all"} {
			if want[other] == "" && is[other] != "" && is[other] != "0" {
				p["delete"] = other
				from, to = append(from, other+" "+is[other]), append(to, "no "+other)
			}
		}
		if len(p) > 0 {
			out = append(out, engine.Change{Path: path, From: strings.Join(from, ", "), To: strings.Join(to, ", "), Action: engine.Update, Risk: engine.Safe, Key: j.ID, Do: p})
		}
	}
	return out
}

func params(f map[string]string) transport.Params {
	out := transport.Params{}
	for k, v := range f {
		out[k] = v
	}
	return out
}

func (s *backupStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	p := c.Do.(transport.Params)
	if c.Action == engine.Create {
		return s.Nodes.API(m.Node).Post(ctx, "/cluster/backup", merge(p, transport.Params{"id": c.Key}), nil)
	}
	report.Keep("backup-job-"+c.Key, []byte(c.From))
	return s.Nodes.API(m.Node).Put(ctx, "/cluster/backup/"+c.Key, p, nil)
}

func (*backupStep) Wait(context.Context, engine.Reporter) error { return nil }

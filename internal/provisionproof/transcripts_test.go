package provisionproof

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
)

// A recorded call of a real Proxmox VE 9.2 that did what was asked, with what was read right after it.
type recordedCall struct {
	Step, Method, Path string
	Params             map[string]any
	HTTPStatus         int                   `json:"http_status"`
	Exit               *string               `json:"task_exitstatus"`
	ReadBack           map[string]recordBody `json:"read_back"`
}

type recordBody struct {
	Status int
	Body   struct{ Data any }
}

// recordedWrites are the writes that succeeded, in their order.
func recordedWrites(t *testing.T) []recordedCall {
	t.Helper()
	f, err := os.Open(needData(t, "write-transcripts/valid.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []recordedCall
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r recordedCall
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // samples have other shapes
		}
		if r.Method != "" && r.Method != "GET" && r.HTTPStatus == 200 && (r.Exit == nil || *r.Exit == "OK") {
			out = append(out, r)
		}
	}
	if err := lines.Err(); err != nil || len(out) < 80 {
		t.Fatalf("%d writes, %v", len(out), err)
	}
	return out
}

// kind is what two calls must share to be comparable: the method, and of storages and rules the type.
func kind(s schema, r request) string {
	template, _, _ := s.route(r.method, r.path)
	k := r.method + " " + template
	if typ := r.params["type"]; typ != "" && (template == "/storage" || template == "/cluster/ha/rules") {
		k += " " + typ
	}
	return k
}

func (r recordedCall) request() request {
	return request{method: r.Method, path: r.Path, params: texts(r.Params)}
}

// forms are what a value looks like, the most special first.
var forms = []struct {
	name string
	re   *regexp.Regexp
}{
	{"number", regexp.MustCompile(`^\d+$`)},
	{"network", regexp.MustCompile(`^[0-9a-f.:]+/\d+$`)},
	{"address", regexp.MustCompile(`^(\d+\.){3}\d+$`)},
	{"fingerprint", regexp.MustCompile(`^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$`)},
	{"lines", regexp.MustCompile(`\n`)},
	{"time", regexp.MustCompile(`^\d\d:\d\d$`)},
	{"guests", regexp.MustCompile(`^vm:\d+(,vm:\d+)*$`)},
	{"nodes with priorities", regexp.MustCompile(`^[a-z0-9]+:\d+(,[a-z0-9]+(:\d+)?)*$`)},
	{"value and options", regexp.MustCompile(`^[^=,]+(,[a-z_]+=[^,=]+)+$`)},
	{"options", regexp.MustCompile(`^[a-z_-]+=[^,=]+(,[a-z_-]+=[^,=]+)*$`)},
	{"words", regexp.MustCompile(`^[^=,]+(,[^=,]+)*$`)},
}

func form(v string) string {
	for _, f := range forms {
		if f.re.MatchString(v) {
			return f.name
		}
	}
	return "text"
}

// unrecorded are the writes of the home lab that the recordings do not have: their lab had its packages and its
// Ceph from elsewhere. They are held against the schema, and against the fake's rules.
var unrecorded = []string{
	"POST /nodes/{node}/apt/repositories", "PUT /nodes/{node}/apt/repositories", "POST /nodes/{node}/apt/update", "PUT /nodes/{node}/network",
	"POST /nodes/{node}/ceph/init", "POST /nodes/{node}/ceph/mon/{monid}", "POST /nodes/{node}/ceph/mgr/{id}", "POST /nodes/{node}/ceph/osd",
}

// beyond are parameters and forms that the recordings do not have, of writes that they have.
var beyond = map[string]string{
	"POST /cluster/config link0: value and options":      "their links had no priority",
	"POST /cluster/config link1: value and options":      "their links had no priority",
	"POST /cluster/config/join link0: value and options": "their links had no priority",
	"POST /cluster/config/join link1: value and options": "their links had no priority",
	"PUT /access/acl tokens: words":                      "their token had the rights of its user (privsep 0)",
	"POST /nodes/{node}/qemu cpu: words":                 "their guests had the processor that is the default",
	"POST /nodes/{node}/qemu sockets: number":            "their guests had the one socket that is the default",
	"POST /nodes/{node}/qemu net0: value and options":    "their guests had no card",
	"POST /cluster/ha/resources failback: number":        "it was changed later there, by PUT",
	"POST /cluster/backup mailnotification: words":       "their job told nobody",
}

// independent are subjects whose order is of no matter.
var independent = [][2]string{{"/access/", "/ceph/pool"}, {"/access/", "/storage"}, {"/cluster/backup", "/cluster/ha/"}, {"/nodes/{node}/hosts", "/network"}}

func areIndependent(a, b string) bool {
	return slices.ContainsFunc(independent, func(p [2]string) bool {
		return strings.Contains(a, p[0]) && strings.Contains(b, p[1]) || strings.Contains(b, p[0]) && strings.Contains(a, p[1])
	})
}

// firsts are the kinds of writes in the order in which each came first.
func firsts(s schema, all []request) []string {
	var out []string
	for _, r := range all {
		if k := kind(s, r); r.method != "GET" && !r.failed && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// recordings are what the whole run of the home lab is compared with.
func recordings(t *testing.T) (s schema, real []recordedCall, w *World, ours []request) {
	t.Helper()
	s, real, w = readSchema(t, pvefake.V92), recordedWrites(t), newWorld(t, pvefake.V92)
	return s, real, w, wholeRun(t, w)
}

func TestTheRunSendsTheParametersThatARealOneTook(t *testing.T) {
	s, real, _, ours := recordings(t)
	took := map[string]bool{} // "POST /storage rbd", and "POST /storage rbd pool: words"
	for _, r := range real {
		k := kind(s, r.request())
		took[k] = true
		for p, v := range r.request().params {
			took[k+" "+p+": "+form(v)] = true
		}
	}
	var not []string
	used, compared := map[string]bool{}, map[string]bool{}
	for _, r := range ours {
		k := kind(s, r)
		switch {
		case r.method == "GET" || r.failed:
			continue
		case !took[k]:
			if not = append(not, k); !slices.Contains(unrecorded, k) {
				t.Errorf("no recording has %s", k)
			}
			continue
		}
		for p, v := range r.params {
			id := k + " " + p + ": " + form(v)
			compared[id] = true
			if used[id] = true; !took[id] && beyond[id] == "" {
				t.Errorf("no recording has %s, as in %q", id, v)
			}
		}
	}
	for _, k := range unrecorded {
		if !slices.Contains(not, k) {
			t.Errorf("%s is recorded, or not sent", k)
		}
	}
	for id := range beyond {
		if !used[id] || took[id] {
			t.Errorf("%s is recorded, or not sent", id)
		}
	}
	t.Logf("%d parameters of %d kinds of writes as recorded; %d beyond the recordings", len(compared)-len(beyond), len(firsts(s, ours))-len(unrecorded), len(beyond))
}

func TestTheRunSendsInTheOrderOfTheRealOne(t *testing.T) {
	s, real, _, ours := recordings(t)
	var theirs []request
	for _, r := range real {
		theirs = append(theirs, r.request())
	}
	order, have := firsts(s, theirs), firsts(s, ours)
	compared := 0
	for i, a := range order {
		for _, b := range order[i+1:] {
			at, bt := slices.Index(have, a), slices.Index(have, b)
			if at < 0 || bt < 0 || areIndependent(a, b) {
				continue
			}
			if compared++; at > bt {
				t.Errorf("%s comes after %s; in the recordings it comes before", a, b)
			}
		}
	}
	// What the recordings do not have is in the order of the documentation.
	chain := []string{
		"PUT /nodes/{node}/network", "POST /cluster/config", "POST /cluster/config/join", "POST /nodes/{node}/ceph/init", "POST /nodes/{node}/ceph/mon/{monid}",
		"POST /nodes/{node}/ceph/mgr/{id}", "POST /nodes/{node}/ceph/osd", "POST /nodes/{node}/ceph/pool", "POST /storage rbd", "POST /nodes/{node}/qemu",
	}
	for i, k := range chain {
		if at := slices.Index(have, k); at < 0 || i > 0 && at < slices.Index(have, chain[i-1]) {
			t.Errorf("%s is number %d in %v", k, at, have)
		}
	}
	t.Logf("%d pairs in the recorded order", compared)
	if compared < 60 {
		t.Errorf("only %d pairs were compared", compared)
	}
}

// echo says of each parameter how it is read back: as it was sent, as something else, or not at all.
func echo(params map[string]string, data any) map[string]string {
	object := bestRow(params, data)
	out := map[string]string{}
	for p, v := range params {
		switch have, ok := object[p]; {
		case !ok:
			out[p] = "not there"
		case normal(have) == normal(v):
			out[p] = "as sent"
		default:
			out[p] = "changed"
		}
	}
	return out
}

// bestRow is data itself, or of a list the row that has most of the parameters.
func bestRow(params map[string]string, data any) map[string]any {
	rows, isList := data.([]any)
	if !isList {
		object, _ := data.(map[string]any)
		return object
	}
	var best map[string]any
	most := -1
	for _, r := range rows {
		row, _ := r.(map[string]any)
		n := 0
		for p, v := range params {
			if have, ok := row[p]; ok && normal(have) == normal(v) {
				n++
			}
		}
		if n > most {
			best, most = row, n
		}
	}
	return best
}

// normal is a value as text, property strings and lists in order.
func normal(v any) string {
	if o, ok := v.(map[string]any); ok {
		var parts []string
		for k, e := range o {
			parts = append(parts, k+"="+fmt.Sprint(e))
		}
		v = strings.Join(parts, ",")
	}
	parts := strings.Split(strings.TrimSpace(fmt.Sprint(v)), ",")
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// TestWhatTheRunWroteReadsBackAsFromTheRealOne reads what the recorder read right after a write, and
// compares for every parameter that both sent whether it is there as sent, as something else, or not at all.
func TestWhatTheRunWroteReadsBackAsFromTheRealOne(t *testing.T) {
	s, real, w, ours := recordings(t)
	fleet, err := w.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	type place struct{ kind, read, param string }
	want := map[place]string{}
	reads := map[string][]string{}
	for _, r := range real {
		for path, b := range r.ReadBack {
			if strings.Contains(path, " ") || b.Status != 200 { // "pve2 /storage": through another node
				continue
			}
			k := kind(s, r.request())
			read, _, ok := s.route("GET", path)
			if !ok {
				continue
			}
			if !slices.Contains(reads[k], read) {
				reads[k] = append(reads[k], read)
			}
			for p, how := range echo(r.request().params, b.Body.Data) {
				// The first: later ones change what is there, or take it away.
				if at := (place{k, read, p}); want[at] == "" && p != "digest" { // that of before the write
					want[at] = how
				}
			}
		}
	}
	compared := map[place]bool{}
	for _, r := range ours {
		k := kind(s, r)
		_, vars, _ := s.route(r.method, r.path)
		for _, read := range reads[k] {
			path, ok := fill(read, vars, r.params)
			if r.method == "GET" || r.failed || !ok {
				continue
			}
			var data any
			if err := fleet.API("pve1").Get(t.Context(), path, &data); err != nil {
				t.Errorf("%s after %s: %v", path, r, err)
				continue
			}
			for p, how := range echo(r.params, data) {
				at := place{k, read, p}
				if real, known := want[at]; known {
					if compared[at] = true; real != how {
						t.Errorf("after %s, GET %s has %s %s, and %s in the recording", r, path, p, how, real)
					}
				}
			}
		}
	}
	t.Logf("%d parameters read back at %d places", len(compared), len(reads))
	if len(compared) < 60 {
		t.Errorf("only %d parameters were compared", len(compared))
	}
}

var variable = regexp.MustCompile(`\{(\w+)\}`)

// fill puts what a write was about into the path of a read.
func fill(template string, vars, params map[string]string) (string, bool) {
	ok := true
	out := variable.ReplaceAllStringFunc(template, func(name string) string {
		name = strings.Trim(name, "{}")
		for _, from := range []map[string]string{vars, params} {
			if v := from[name]; v != "" {
				return v
			}
		}
		if name == "node" {
			return "pve1"
		}
		ok = false
		return ""
	})
	return out, ok
}

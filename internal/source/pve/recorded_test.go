package pve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// replay serves the replies of a recorded cluster by path and query.
func replay(t *testing.T, replies map[string]recordedReply) *Client {
	t.Helper()
	a := newAuthority(t)
	return a.client(t, nil, a.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.URL.RequestURI(), apiPrefix)
		if rec, ok := replies[key]; ok {
			status(rec.line, string(rec.body))(w, r)
			return
		}
		status("501 Method 'GET "+key+"' not implemented", "")(w, r)
	})))
}

type recordedReply struct {
	line string // 200 OK
	body []byte
}

// readIndex reads a state of recorded/.
func readIndex(t *testing.T, dir string) map[string]recordedReply {
	t.Helper()
	replies := map[string]recordedReply{}
	for line := range strings.Lines(string(read(t, filepath.Join(dir, "_index.txt")))) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) < 4 {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, f[1]))
		if err != nil {
			continue // a request that was not answered left no file
		}
		replies["/"+f[0]] = recordedReply{strings.TrimPrefix(f[3], "HTTP/1.1 "), body}
	}
	return replies
}

// outcome of a typed call that is to be held against the recording.
type outcome struct {
	path string
	err  error
}

func typedCalls(t *testing.T, cl *Client, node string) []outcome {
	t.Helper()
	ctx := within(t, 20*time.Second)
	var out []outcome
	add := func(path string, err error) { out = append(out, outcome{path, err}) }
	_, err := cl.Version(ctx)
	add("/version", err)
	_, err = cl.ClusterStatus(ctx)
	add("/cluster/status", err)
	_, err = cl.Resources(ctx)
	add("/cluster/resources", err)
	_, err = cl.ClusterTasks(ctx)
	add("/cluster/tasks", err)
	_, err = cl.HAManagerStatus(ctx)
	add("/cluster/ha/status/manager_status", err)
	_, err = cl.HAStatusCurrent(ctx)
	add("/cluster/ha/status/current", err)
	_, err = cl.NotBackedUp(ctx)
	add("/cluster/backup-info/not-backed-up", err)
	_, err = cl.QDevice(ctx)
	add("/cluster/config/qdevice", err)
	_, err = cl.MissingRights(ctx)
	add("/access/permissions", err)
	_, err = cl.NodeVersion(ctx, node)
	add("/nodes/"+node+"/version", err)
	_, err = cl.Subscription(ctx, node)
	add("/nodes/"+node+"/subscription", err)
	_, err = cl.Replication(ctx, node)
	add("/nodes/"+node+"/replication", err)
	_, err = cl.NodeGuests(ctx, node)
	add("/nodes/"+node+"/qemu", err)
	return out
}

func TestRecordedRepliesAreUnderstood(t *testing.T) {
	states, calls := 0, 0
	for _, index := range recorded(t, "recorded/*/_index.txt") {
		dir := filepath.Dir(index)
		replies := readIndex(t, dir)
		states++
		for _, node := range []string{"pve1", "pve2", "pve3"} {
			for _, o := range typedCalls(t, replay(t, replies), node) {
				rec, ok := replies[o.path]
				if !ok {
					continue
				}
				calls++
				code, _ := strconv.Atoi(rec.line[:3])
				var e *Error
				switch {
				case code == 200 && o.err != nil:
					t.Errorf("%s %s: %v", filepath.Base(dir), o.path, o.err)
				case code != 200 && o.err == nil:
					t.Errorf("%s %s: answered with %s, and no error", filepath.Base(dir), o.path, rec.line)
				case code != 200 && (!asError(o.err, &e) || e.Kind != statusKind(code, rec.line)):
					t.Errorf("%s %s: %v for %s", filepath.Base(dir), o.path, o.err, rec.line)
				}
			}
		}
	}
	t.Logf("%d states, %d calls", states, calls)
	if calls < 100 {
		t.Errorf("only %d calls were compared", calls)
	}
}

func asError(err error, e **Error) bool {
	for err != nil {
		if x, ok := err.(*Error); ok {
			*e = x
			return true
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, one := range u.Unwrap() {
				if asError(one, e) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// Every 200 in the recordings goes through Get, and every number in /cluster/resources comes out as
// it went in.
func TestEveryRecordedBodyComesThroughUnchanged(t *testing.T) {
	files := recorded(t, "recorded/*/*.json")
	bodies, numbers := 0, 0
	for _, name := range files {
		b := read(t, name)
		var env map[string]json.RawMessage
		if json.Unmarshal(b, &env) != nil || env["data"] == nil || string(env["data"]) == "null" {
			continue
		}
		var out json.RawMessage
		if err := decode(b, &out); err != nil || !bytes.Equal(out, env["data"]) {
			t.Errorf("%s: %v", name, err)
		}
		bodies++
		if filepath.Base(name) == "cluster_resources.json" {
			numbers += compareResources(t, name, b)
		}
	}
	t.Logf("%d bodies, %d numbers of resources", bodies, numbers)
	if bodies < 300 || numbers < 500 {
		t.Errorf("only %d bodies and %d numbers were compared", bodies, numbers)
	}
}

func compareResources(t *testing.T, name string, b []byte) (compared int) {
	t.Helper()
	var plain struct{ Data []map[string]any }
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	rows, err := decodeRows(b, (*Resource).lacks)
	if err != nil || len(rows) != len(plain.Data) {
		t.Fatalf("%s: %d rows of %d, %v", name, len(rows), len(plain.Data), err)
	}
	for i, r := range rows {
		for field, got := range map[string]Float{
			"cpu": r.CPU, "maxcpu": r.MaxCPU, "mem": float(r.Mem), "maxmem": float(r.MaxMem), "disk": float(r.Disk),
			"maxdisk": float(r.MaxDisk), "netin": float(r.NetIn), "netout": float(r.NetOut), "diskread": float(r.DiskRead),
			"diskwrite": float(r.DiskWrite), "uptime": float(r.Uptime), "vmid": float(r.VMID),
		} {
			want, ok := plain.Data[i][field].(float64)
			if ok != got.Known || want != got.V {
				t.Errorf("%s %s: %s is %v, recorded %v", name, r.ID, field, got, plain.Data[i][field])
			}
			compared++
		}
	}
	return compared
}

func float(i Int) Float { return Float{float64(i.V), i.Known} }

// The calls that prometheus-pve-exporter made, with what it got, through ours.
func TestRepliesToThePeerExporterAreUnderstood(t *testing.T) {
	bodies := 0
	for _, name := range recorded(t, "peer-output/*/*.calls.jsonl") {
		replies := map[string]recordedReply{}
		in := bufio.NewScanner(bytes.NewReader(read(t, name)))
		in.Buffer(nil, 16<<20)
		for in.Scan() {
			var c struct {
				URL    string          `json:"url"`
				Status int             `json:"status"`
				Reason string          `json:"reason"`
				Body   json.RawMessage `json:"body"`
			}
			if err := json.Unmarshal(in.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(c.URL)
			if err != nil || c.Status == 0 {
				continue // it got no answer
			}
			replies[strings.TrimPrefix(u.RequestURI(), apiPrefix)] = recordedReply{strconv.Itoa(c.Status) + " " + c.Reason, c.Body}
		}
		cl := replay(t, replies)
		for _, o := range typedCalls(t, cl, "pve1") {
			rec, ok := replies[o.path]
			if !ok {
				continue
			}
			bodies++
			if (o.err != nil) != !strings.HasPrefix(rec.line, "200") {
				t.Errorf("%s %s: %v for %s", name, o.path, o.err, rec.line)
			}
		}
		compareOnBoot(t, cl, replies)
	}
	t.Logf("%d bodies", bodies)
	if bodies < 50 {
		t.Errorf("only %d bodies were compared", bodies)
	}
}

func compareOnBoot(t *testing.T, cl *Client, replies map[string]recordedReply) {
	t.Helper()
	if _, asked := replies["/nodes/pve1/qemu"]; !asked {
		return
	}
	ctx := within(t, 20*time.Second)
	guests, err := cl.NodeGuests(ctx, "pve1")
	if err != nil || len(guests) == 0 {
		t.Fatalf("got %d guests, %v", len(guests), err)
	}
	var refs []GuestRef
	for _, g := range guests {
		refs = append(refs, GuestRef{g.Type, g.VMID.V})
	}
	on, err := cl.OnBoot(ctx, "pve1", refs)
	if err != nil || len(on) != len(refs) {
		t.Errorf("onboot of %d of %d guests, %v", len(on), len(refs), err)
	}
}

func BenchmarkResources(b *testing.B) {
	body := bigResources(500, 5)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		rows, err := decodeRows(body, (*Resource).lacks)
		if err != nil || len(rows) != 500+5+10 {
			b.Fatal(len(rows), err)
		}
	}
}

// bigResources is a reply about guests on nodes with two storages each, as PVE 9 writes it.
func bigResources(guests, nodes int) []byte {
	var rows []string
	for g := range guests {
		id := strconv.Itoa(100 + g)
		rows = append(rows, `{"id":"qemu/`+id+`","type":"qemu","vmid":`+id+`,"name":"vm`+id+`","node":"pve`+strconv.Itoa(g%nodes)+
			`","status":"running","template":0,"tags":"a;b","hastate":"started","cpu":0.0613151893818206,"maxcpu":4,"mem":3221225472,`+
			`"memhost":3221225472,"maxmem":4294967296,"disk":0,"maxdisk":34359738368,"netin":123456789,"netout":987654321,"diskread":1234567890,"diskwrite":9876543210,"uptime":1234567}`)
	}
	for n := range nodes {
		node := "pve" + strconv.Itoa(n)
		rows = append(rows, `{"id":"node/`+node+`","type":"node","node":"`+node+`","status":"online","hastate":"online","level":"","cpu":0.5,"maxcpu":32,"mem":1,"maxmem":2,"disk":1,"maxdisk":2,"uptime":3,"cgroup-mode":2}`)
		for _, s := range []string{"local", "ceph"} {
			rows = append(rows, `{"id":"storage/`+node+`/`+s+`","type":"storage","node":"`+node+`","storage":"`+s+`","status":"available","plugintype":"rbd","content":"images","shared":1,"disk":1,"maxdisk":2}`)
		}
	}
	return []byte(`{"data":[` + strings.Join(rows, ",") + `]}`)
}

// BenchmarkResourcesOverTLS is one read as a scrape makes it, over a connection that is kept.
func BenchmarkResourcesOverTLS(b *testing.B) {
	a := newAuthority(b)
	body := bigResources(500, 5)
	cl := a.client(b, nil, a.serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cl.Resources(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

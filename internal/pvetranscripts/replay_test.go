package pvetranscripts

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const dataDir = "../../../shared/data/proxmox/write-transcripts"

// TestTheFakeAnswersEveryRecordedRequestAsTheRealOneDid replays the recordings; what may differ has its
// reason in the table of exceptions, and no reason stands there that nothing needs.
func TestTheFakeAnswersEveryRecordedRequestAsTheRealOneDid(t *testing.T) {
	used := map[string]bool{}
	all := map[string]int{"valid.jsonl": 190, "invalid.jsonl": 330, "invalid-prereq.jsonl": 44}
	for name, equal := range all {
		path := filepath.Join(dataDir, name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("recordings are not here (%v): the test needs %s", err, path)
		}
		results, err := Run(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		same := 0
		for _, r := range results {
			switch {
			case len(r.Differences) == 0:
				same++
			case r.Reason == "":
				t.Errorf("%s: %d %s: %s: %s", name, r.N, r.Step, r.Request, strings.Join(r.Differences, "; "))
			default:
				used[r.Reason] = true
			}
		}
		if same < equal {
			t.Errorf("%s: %d equal, %d were", name, same, equal)
		}
		t.Logf("%s: requests=%d equal=%d differ=%d", name, len(results), same, len(results)-same)
	}
	for _, e := range exceptions {
		if !used[e.why] {
			t.Errorf("no request needs the exception %q", e.why)
		}
	}
}

func TestADifferenceIsSeenAndCounted(t *testing.T) {
	const (
		right     = `{"n":1,"step":"path unknown","via":"pve1","auth":"ticket root@pam","method":"GET","path":"/foo","encoding":"none","params":null,"http_status":501,"reason":"Method 'GET /foo' not implemented","body":{"data":null,"message":"Method 'GET /foo' not implemented"}}`
		otherKey  = `{"n":2,"step":"vm: missing vmid","via":"pve1","auth":"ticket root@pam","method":"POST","path":"/nodes/pve1/qemu","encoding":"form","params":{"name":"x"},"http_status":400,"reason":"Parameter verification failed.","body":{"errors":{"name":"no"},"data":null,"message":"Parameter verification failed.\n"}}`
		otherCode = `{"n":3,"step":"version","via":"pve1","auth":"ticket root@pam","method":"GET","path":"/version","encoding":"none","params":null,"http_status":403,"reason":"no","body":""}`
		otherEnd  = `{"n":4,"step":"vm: start unknown vm","via":"pve1","auth":"ticket root@pam","method":"POST","path":"/nodes/pve1/qemu/399/status/start","encoding":"form","params":{},"http_status":200,"reason":"OK","body":{"data":"UPID:pve1:1:1:1:qmstart:399:root@pam:"},"task_exitstatus":"OK"}`
	)
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join([]string{right, otherKey, otherCode, otherEnd}, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	results, err := Run(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	wrong, err := Print(&out, results)
	if err != nil || wrong != 3 {
		t.Errorf("%d differ without reason, want 3 (%v):\n%s", wrong, err, out.String())
	}
	for _, want := range []string{"errors of [vmid], real [name]", `status 200 "OK", real 403 "no"`, `task ended with "Configuration file`, "requests=4 equal=1 differ=3\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(`{"n":1,"params":{"a":1,"fingerprint":"AA"},"body":{"errors":{"x":"y"}},"samples":[[1.5]]}`)
	f.Add(`{"params":["x"],"body":""}`)
	f.Add(`{"samples":[1,[]],"body":{"errors":7}}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line string) {
		path := filepath.Join(dir, "calls.jsonl")
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := read(path)
		if err != nil {
			return
		}
		for _, r := range records {
			_, _, _ = errorKeys(r.Body), words(r.Body), r.lastSample()
		}
	})
}

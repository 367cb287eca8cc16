package qmp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ptr(f float64) *float64 { return &f }

func TestMigrationOfEachVersionIsUnderstood(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		raw  string
		want Migration
	}{
		"never migrated":   {`{}`, Migration{}},
		"destination":      {`{"status":"active","socket-address":[{"port":"23034","ipv4":true}]}`, Migration{Status: "active"}},
		"cancelled":        {`{"status":"cancelled"}`, Migration{Status: "cancelled"}},
		"failed":           {`{"status":"failed","error-desc":"Failed to connect to '127.0.0.1:1': Connection refused"}`, Migration{Status: "failed", ErrorDesc: "Failed to connect to '127.0.0.1:1': Connection refused"}},
		"failing, QEMU 11": {`{"status":"failing","total-time":7}`, Migration{Status: "failing", TotalTime: ptr(7)}},
		"QEMU 11.1 with its own `remaining`": {
			`{"status": "postcopy-device", "remaining": 9, "ram": {"remaining": 8, "mbps": 1.5, "page-size": 4096}}`,
			Migration{Status: "postcopy-device", RAM: &RAM{Remaining: ptr(8), Mbps: ptr(1.5), PageSize: ptr(4096)}},
		},
		"throttled, with disk, QEMU 7.2": {
			`{"expected-downtime":2998,"cpu-throttle-percentage":20,"status":"active","setup-time":2,"total-time":5837,"ram":{"total":268967936,"dirty-sync-count":3,"transferred":198067252,"dirty-pages-rate":8091},"disk":{"total":1,"skipped":0}}`,
			Migration{
				Status: "active", ExpectedDowntime: ptr(2998), ThrottlePercent: ptr(20), SetupTime: ptr(2), TotalTime: ptr(5837),
				RAM:  &RAM{Total: ptr(268967936), DirtySyncCount: ptr(3), Transferred: ptr(198067252), DirtyPagesRate: ptr(8091)},
				Disk: &RAM{Total: ptr(1)},
			},
		},
		"fields of other types are missing, the rest is not": {
			`{"status":"of the year 2040","total-time":"7","downtime":null,"setup-time":[1],"expected-downtime":1e999,"error-desc":4,"ram":{"total":{},"remaining":true,"mbps":-1},"disk":[{"total":1}],"postcopy-blocktime":3}`,
			Migration{Status: "of the year 2040", PostcopyBlocktime: ptr(3), RAM: &RAM{Mbps: ptr(-1)}},
		},
		"spaced": {" {\t\"status\" :\r\n \"active\" , \"ram\": { \"total\" : 1 } } ", Migration{Status: "active", RAM: &RAM{Total: ptr(1)}}},
	} {
		got, err := ParseMigration([]byte(tc.raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	for _, raw := range []string{``, `null`, `[]`, `"x"`, `{"status":1}`, `{"status":null}`, `{"status":"x"`, `{} {}`} {
		if got, err := ParseMigration([]byte(raw)); err == nil {
			t.Errorf("%s was taken for %+v", raw, got)
		}
	}
}

// recordedReplies returns one reply of each kind that QEMU gave, a line each.
func recordedReplies(t testing.TB) [][]byte {
	t.Helper()
	files, _ := filepath.Glob("testdata/query-migrate/*.jsonl")
	var all [][]byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Split(bytes.TrimSpace(b), []byte("\n"))...)
	}
	if len(all) < 30 {
		t.Fatalf("only %d replies in testdata", len(all))
	}
	return all
}

func TestRecordedRepliesAreUnderstoodAsTheStandardLibraryDoes(t *testing.T) {
	t.Parallel()
	replies := recordedReplies(t)
	recordings, _ := filepath.Glob("../../../../shared/data/qemu/*/*/*-query-migrate.jsonl")
	if len(recordings) == 0 {
		t.Log("no recordings in ../shared/data/qemu: only those in testdata are read")
	}
	for _, name := range recordings {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var poll struct{ Return json.RawMessage }
			if err := json.Unmarshal(line, &poll); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if poll.Return != nil {
				replies = append(replies, poll.Return)
			}
		}
	}
	for _, raw := range replies {
		var want Migration
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, err := ParseMigration(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%s", raw, err, cmp.Diff(want, got))
		}
	}
	t.Logf("%d replies", len(replies))
}

// FuzzMigration compares with what the standard library makes of the same bytes, field by field.
func FuzzMigration(f *testing.F) {
	for _, raw := range recordedReplies(f) {
		f.Add(raw)
	}
	f.Add([]byte(`{"status":"x","total-time":"7","ram":{"total":null,"mbps":1e400},"ram":3,"a":{"status":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ParseMigration(raw)
		var want map[string]json.RawMessage
		if json.Unmarshal(raw, &want) != nil || want == nil {
			if err == nil {
				t.Fatalf("%q was taken for %+v", raw, got)
			}
			return
		}
		if err != nil {
			if status := want["status"]; len(status) > 0 && status[0] == '"' && !bytes.Contains(raw, []byte("stat")) {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		compareText(t, "status", got.Status, want["status"])
		compareText(t, "error-desc", got.ErrorDesc, want["error-desc"])
		compareNumbers(t, reflect.ValueOf(got), want)
		for key, ram := range map[string]*RAM{"ram": got.RAM, "disk": got.Disk} {
			var fields map[string]json.RawMessage
			if json.Unmarshal(want[key], &fields) != nil || fields == nil {
				if ram != nil {
					t.Fatalf("%s is %q and became %+v", key, want[key], ram)
				}
				continue
			}
			compareNumbers(t, reflect.ValueOf(*ram), fields)
		}
		_ = parseStatus(raw)
	})
}

func compareText(t *testing.T, key, got string, raw json.RawMessage) {
	t.Helper()
	var want string
	_ = json.Unmarshal(raw, &want)
	if got != want {
		t.Fatalf("%s is %q and became %q", key, raw, got)
	}
}

// compareNumbers looks at the fields of v that are numbers.
func compareNumbers(t *testing.T, v reflect.Value, fields map[string]json.RawMessage) {
	t.Helper()
	for i := range v.NumField() {
		got, ok := v.Field(i).Interface().(*float64)
		if !ok {
			continue
		}
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		want, err := strconv.ParseFloat(string(fields[key]), 64)
		if (err == nil) != (got != nil) || got != nil && *got != want {
			t.Fatalf("%s is %q and became %v", key, fields[key], got)
		}
	}
}

func TestStartTimeIsField22(t *testing.T) {
	t.Parallel()
	const stat = "4242 (a) S (x) ) S 1 4242 4242 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 5 0 778899 1 2 3 4\n"
	if got, ok := parseStartTime([]byte(stat)); !ok || got != 778899 {
		t.Errorf("got %d, %t", got, ok)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", strings.Replace(stat, "778899", "-1", 1)} {
		if got, ok := parseStartTime([]byte(bad)); ok {
			t.Errorf("%q gave %d", bad, got)
		}
	}
}

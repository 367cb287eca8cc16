package pve

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMissingRightsNamePrivilegePathAndMetric(t *testing.T) {
	const auditor = `{"Sys.Audit":1,"VM.Audit":1,"Datastore.Audit":1,"Pool.Audit":1}`
	for _, c := range []struct {
		name, permissions string
		lacking           []string // PRIVILEGE PATH, in order, each once
	}{
		{"auditor everywhere", `{"/":` + auditor + `,"/vms":` + auditor + `,"/nodes":` + auditor + `,"/storage":` + auditor + `}`, nil},
		{"auditor on / that propagates", `{"/":` + auditor + `}`, nil},
		{"auditor on / that does not propagate", `{"/":{"Sys.Audit":0,"VM.Audit":0,"Datastore.Audit":0}}`,
			[]string{"Sys.Audit /nodes", "VM.Audit /vms", "Datastore.Audit /storage"}},
		{"token without rights of its own", `{}`,
			[]string{"Sys.Audit /", "Sys.Audit /nodes", "VM.Audit /vms", "Datastore.Audit /storage"}},
		{"VM auditor", `{"/vms":{"VM.Audit":1}}`, []string{"Sys.Audit /", "Sys.Audit /nodes", "Datastore.Audit /storage"}},
		{"no access to guests", `{"/":` + auditor + `,"/vms":{}}`, []string{"VM.Audit /vms"}},
		{"one guest only", `{"/":{"Sys.Audit":1,"Datastore.Audit":"1"},"/vms/100":{"VM.Audit":1}}`, []string{"VM.Audit /vms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			a := newAuthority(t)
			cl := a.client(t, nil, a.serve(t, reply(`{"data":`+c.permissions+`}`)))
			rights, err := cl.MissingRights(within(t, 5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rights {
				if s := r.Privilege + " " + r.Path; !slices.Contains(got, s) {
					got = append(got, s)
				}
				if !strings.Contains(r.String(), r.Metrics[0]) || !strings.Contains(r.String(), r.Calls[0]) {
					t.Errorf("%q does not name metric and call", r)
				}
			}
			if !slices.Equal(got, c.lacking) {
				t.Errorf("got %q, want %q", got, c.lacking)
			}
		})
	}
}

func TestMissingRightsAreLoggedOnceAndWhenTheyAreBack(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	lacking := missing(Rights(), map[string]map[string]Bool{"/": {"Sys.Audit": {V: true, Known: true}, "Datastore.Audit": {V: true, Known: true}}})
	told := tellRights(l, lacking, "")
	told = tellRights(l, lacking, told)
	if n := strings.Count(log.String(), "no VM.Audit on /vms"); n != len(lacking) || n == 0 {
		t.Errorf("%d of %d missing rights in the log:\n%s", n, len(lacking), &log)
	}
	if !strings.Contains(log.String(), "pve_guest_info") {
		t.Errorf("the metric is not named:\n%s", &log)
	}
	if tellRights(l, nil, told) != "" || !strings.Contains(log.String(), "no right is missing any more") {
		t.Errorf("recovery is not in the log:\n%s", &log)
	}
}

func TestWatchRightsEndsWithItsContext(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	asked := make(chan struct{}, 1)
	cl := a.client(t, nil, a.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply(`{"data":{}}`).ServeHTTP(w, r)
		asked <- struct{}{}
	})))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- cl.WatchRights(ctx, slog.New(slog.DiscardHandler)) }()
	<-asked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRecordedRootLacksNothing(t *testing.T) {
	for _, name := range recorded(t, "recorded/*/access_permissions.json") {
		var held map[string]map[string]Bool
		if err := decode(read(t, name), &held); err != nil {
			t.Fatal(err)
		}
		if got := missing(Rights(), held); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzPermissions(f *testing.F) {
	f.Add([]byte(`{"/":{"Sys.Audit":1},"/vms/100":{"VM.Audit":"0"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var held map[string]map[string]Bool
		if json.Unmarshal(b, &held) != nil {
			return
		}
		all := Rights()
		if n := len(missing(all, held)); n > len(all) {
			t.Fatal(n)
		}
		if len(held) == 0 && len(missing(all, held)) != len(all) {
			t.Fatal("rights out of nothing")
		}
	})
}

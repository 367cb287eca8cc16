package pve

import (
	"encoding/json"
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

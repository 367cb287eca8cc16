package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
)

// command runs the program.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestGuestsAreMovedAndDrillsRefusedFromTheCommandLine(t *testing.T) {
	file, w := labFile(t)
	if _, err := w.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Fake.AddVM(pvefake.Guest{VMID: 200, Node: 1, Name: "off", Stopped: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.Fake.AddVM(pvefake.Guest{VMID: 201, Node: 3, Name: "alone"}); err != nil {
		t.Fatal(err)
	}
	w.Fake.Start(t.Context()) // the program waits in real time
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"moved", []string{"migrate", "200", "pve2", "-f", file}, 0, "off) moved from pve1 to pve2, offline"},
		{"there already", []string{"migrate", "200", "pve2", "-f", file, "-o", "json"}, 0, `"moved": false`},
		{"over its budget", []string{"migrate", "200", "pve3", "-f", file, "--budget", "duration=1s", "-o", "jsonl"}, exitVerify, `"overBudget":["duration took `},
		{"refused", []string{"migrate", "200", "pve9", "-f", file}, engine.ExitPreflight, "pve9 is no node of the cluster"},
		{"a budget for nothing", []string{"migrate", "200", "pve2", "-f", file, "--budget", "speed=1s"}, exitSyntax, "downtime=DURATION"},
		{"a guest that is no number", []string{"migrate", "dns", "pve2", "-f", file}, exitSyntax, "dns"},
		{"a drill nobody means", []string{"drill", "node-down", "pve3", "-f", file}, exitSyntax, "--i-understand"},
		{"a drill of another node", []string{"drill", "node-down", "pve3", "-f", file, "--i-understand", "pve2"}, exitSyntax, "say --i-understand pve3"},
		{"a drill that would cost a guest", []string{"drill", "node-down", "pve3", "-f", file, "--i-understand", "pve3"}, engine.ExitPreflight, "vm:201 would be off until pve3 is back"},
		{"a drill of an OSD that is not there", []string{"drill", "osd", "99", "-f", file}, engine.ExitPreflight, "there is no osd.99"},
		{"a drill of a link that is not there", []string{"drill", "network", "pve3", "7", "-f", file}, engine.ExitPreflight, "corosync has no link 7 there"},
		{"a budget that a drill of a link has not", []string{"drill", "network", "pve3", "1", "-f", file, "--budget", "clean=1s"}, exitSyntax, "down=DURATION or up=DURATION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := command(tt.args...)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("exit %d, want %d and %q\n%s\n%s", code, tt.code, tt.says, out, errs)
			}
			if strings.Contains(out+errs, "canary") {
				t.Error("a secret is shown")
			}
			if strings.Contains(strings.Join(tt.args, " "), "jsonl") {
				for line := range strings.Lines(out) {
					if !json.Valid([]byte(line)) {
						t.Errorf("not JSON: %s", line)
					}
				}
			}
		})
	}
}

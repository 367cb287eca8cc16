package alerts

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestRulesPassPromtoolCheck(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	args := append([]string{"check", "rules"}, glob(t, "rules/*.yaml")...)
	if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestRulesPassTheirTests(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	for _, name := range glob(t, "tests/*_test.yaml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", name).CombinedOutput(); err != nil {
				t.Errorf("promtool test rules %s: %v\n%s", name, err, out)
			}
		})
	}
}

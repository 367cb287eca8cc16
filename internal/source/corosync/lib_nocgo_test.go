//go:build !cgo

package corosync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStaticBuildCannotReadCorosyncButKnowsAStandaloneNode(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "corosync.conf")
	c := New(Options{ConfFile: conf})
	if s, err := c.Quorum(t.Context()); err != nil || !s.Standalone {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Quorum(t.Context()); !errors.Is(err, ErrNotBuilt) {
		t.Error(err)
	}
}

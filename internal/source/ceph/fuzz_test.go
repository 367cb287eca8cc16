package ceph

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// fuzz claims of a parser that it never panics and that what it refuses is an ErrAnswer.
func fuzz(f *testing.F, file string, parse func([]byte) (any, error)) {
	for _, dir := range []string{"testdata/healthy", "testdata/osd1_down"} {
		if b, err := os.ReadFile(filepath.Join(dir, file+".json")); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`[{"id":inf}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parse(b); err != nil && !errors.Is(err, ErrAnswer) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzStatus(f *testing.F)       { fuzz(f, "status", any1(ParseStatus)) }
func FuzzHealth(f *testing.F)       { fuzz(f, "status", any1(ParseHealth)) }
func FuzzMonDump(f *testing.F)      { fuzz(f, "mon_dump", any1(ParseMonDump)) }
func FuzzMetadata(f *testing.F)     { fuzz(f, "mon_metadata", any1(ParseDaemonMetadata)) }
func FuzzQuorumStatus(f *testing.F) { fuzz(f, "quorum_status", any1(ParseQuorumStatus)) }
func FuzzMgrStat(f *testing.F)      { fuzz(f, "mgr_stat", any1(ParseMgrStat)) }
func FuzzMgrDump(f *testing.F)      { fuzz(f, "mgr_stat", any1(ParseMgrDump)) }
func FuzzOSDDump(f *testing.F)      { fuzz(f, "osd_dump", any1(ParseOSDDump)) }
func FuzzOSDMetadata(f *testing.F)  { fuzz(f, "osd_metadata", any1(ParseOSDMetadata)) }
func FuzzOSDStat(f *testing.F)      { fuzz(f, "osd_stat", any1(ParseOSDStat)) }
func FuzzOSDDF(f *testing.F)        { fuzz(f, "osd_df", any1(ParseOSDDF)) }
func FuzzOSDPerf(f *testing.F)      { fuzz(f, "osd_perf", any2(ParseOSDPerf)) }
func FuzzCrushRules(f *testing.F)   { fuzz(f, "osd_crush_rule_dump", any1(ParseCrushRules)) }
func FuzzDF(f *testing.F)           { fuzz(f, "df_detail", any1(ParseDF)) }
func FuzzPoolStats(f *testing.F)    { fuzz(f, "osd_pool_stats", any1(ParsePoolStats)) }
func FuzzPGDumpPools(f *testing.F)  { fuzz(f, "pg_dump_pools", any2(ParsePGDumpPools)) }
func FuzzFSDump(f *testing.F)       { fuzz(f, "fs_dump", any1(ParseFSDump)) }
func FuzzPGStat(f *testing.F)       { fuzz(f, "pg_stat", any2(ParsePGStat)) }
func FuzzPGLs(f *testing.F)         { fuzz(f, "pg_ls", any2(ParsePGLs)) }

// FuzzOSDTree claims as well that a search upwards ends, whatever the tree.
func FuzzOSDTree(f *testing.F) {
	fuzz(f, "osd_tree", func(b []byte) (any, error) {
		t, err := ParseOSDTree(b)
		if err == nil {
			for id := range t.kind {
				t.Above(id, hostDomain)
				t.Above(id, "no such type")
			}
		}
		return t, err
	})
}

// FuzzPGsBrief claims as well that the lean scanner reads what encoding/json reads.
func FuzzPGsBrief(f *testing.F) {
	fuzz(f, "pg_dump_pgs_brief", func(b []byte) (any, error) {
		pgs, _, err := ParsePGsBrief(b)
		if lean, ok := scanPGsBrief(b); ok {
			full, _, jsonErr := ParsePGLs(b)
			if jsonErr == nil && !samePGs(lean, full) {
				return nil, errors.New("scanner and JSON differ")
			}
		}
		return pgs, err
	})
}

func FuzzConf(f *testing.F) {
	f.Add([]byte("[global]\n fsid = x ; c\nmon host = a, \\\n b\n[client.q]\nkey=AAAA==\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseConf(b); err == nil {
			c.get("quorate", "keyring")
		}
	})
}

func FuzzSlowOps(f *testing.F) {
	f.Add("5 slow ops, oldest one blocked for 6 sec, daemons [osd.0,osd.1] have slow ops.")
	f.Fuzz(func(t *testing.T, text string) {
		h := Health{Checks: []HealthCheck{{Name: "SLOW_OPS", Message: text, Active: true}}}
		if s, ok := h.SlowOps(); ok && s.Daemons == nil {
			t.Error("no daemons map")
		}
	})
}

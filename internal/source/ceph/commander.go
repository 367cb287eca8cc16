package ceph

import (
	"encoding/json"
	"errors"
)

// A Commander sends commands in JSON to the cluster and returns its answer.
//
// A call cannot be cancelled: librados bounds it by its own operation timeout. Errors are *Error.
// Implementations are safe for concurrent use.
type Commander interface {
	Mon(cmd []byte) ([]byte, error)
	Mgr(cmd []byte) ([]byte, error)
}

// A Command is one question to the cluster.
type Command struct {
	Prefix string
	Detail string   // of `df`
	Dump   []string // dumpcontents of `pg dump`
	States []string // of `pg ls`
}

// Encode returns the command as the cluster takes it.
func (c Command) Encode() []byte {
	m := map[string]any{"prefix": c.Prefix, "format": "json"}
	if c.Detail != "" {
		m["detail"] = c.Detail
	}
	if c.Dump != nil {
		m["dumpcontents"] = c.Dump
	}
	if c.States != nil {
		m["states"] = c.States
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings always marshal
	}
	return b
}

// DecodeCommand is the inverse of Encode, for a Commander that is not a cluster.
func DecodeCommand(b []byte) (Command, error) {
	var raw struct {
		Prefix string   `json:"prefix"`
		Detail string   `json:"detail"`
		Dump   []string `json:"dumpcontents"`
		States []string `json:"states"`
	}
	err := json.Unmarshal(b, &raw)
	return Command(raw), err
}

// The commands that are used. Those of the manager cost a monitor nothing.
var (
	cmdStatus       = Command{Prefix: "status"}
	cmdQuorumStatus = Command{Prefix: "quorum_status"}
	cmdMgrStat      = Command{Prefix: "mgr stat"}
	cmdDF           = Command{Prefix: "df", Detail: "detail"}
	cmdMonDump      = Command{Prefix: "mon dump"}
	cmdMonMeta      = Command{Prefix: "mon metadata"}
	cmdMgrDump      = Command{Prefix: "mgr dump"}
	cmdMgrMeta      = Command{Prefix: "mgr metadata"}
	cmdOSDDump      = Command{Prefix: "osd dump"}
	cmdOSDMeta      = Command{Prefix: "osd metadata"}
	cmdOSDTree      = Command{Prefix: "osd tree"}
	cmdCrushRules   = Command{Prefix: "osd crush rule dump"}
	cmdFSDump       = Command{Prefix: "fs dump"}
	cmdMDSMeta      = Command{Prefix: "mds metadata"}

	cmdPGStat    = Command{Prefix: "pg stat"}
	cmdOSDPerf   = Command{Prefix: "osd perf"}
	cmdOSDDF     = Command{Prefix: "osd df"}
	cmdPoolStats = Command{Prefix: "osd pool stats"}
	cmdDumpPools = Command{Prefix: "pg dump", Dump: []string{"pools"}}
	cmdDumpBrief = Command{Prefix: "pg dump", Dump: []string{"pgs_brief"}}
)

func cmdPGLs(states []string) Command { return Command{Prefix: "pg ls", States: states} }

// ask sends one command and parses the answer.
func ask[T any](send func([]byte) ([]byte, error), c Command, parse func([]byte) (T, error)) (T, error) {
	b, err := send(c.Encode())
	if err != nil {
		var zero T
		return zero, err
	}
	return parse(b)
}

// lost says whether err means that further commands of the same kind would only time out as well.
func lost(err error) bool {
	return errors.Is(err, ErrTimeout) || errors.Is(err, ErrNotConnected) || errors.Is(err, ErrClosed)
}

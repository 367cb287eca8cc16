package ceph

import (
	"errors"
	"io/fs"
	"strings"
)

// A Recording answers commands from files, each named by its command: status.json,
// pg_dump_pgs_brief.json, df_detail.json. `pg ls` with states is answered by filtering pg_ls.json.
type Recording struct {
	FS fs.FS
	// Missing is told the command of each file that is not there. It may be nil.
	Missing func(cmd string)
}

// Mon answers a monitor command.
func (r Recording) Mon(cmd []byte) ([]byte, error) { return r.answer("monitor", cmd) }

// Mgr answers a manager command.
func (r Recording) Mgr(cmd []byte) ([]byte, error) { return r.answer("manager", cmd) }

func (r Recording) answer(whom string, cmd []byte) ([]byte, error) {
	c, err := DecodeCommand(cmd)
	if err != nil {
		return nil, newError(ErrCommand, err, "%s: bad command", whom)
	}
	words := append([]string{c.Prefix, c.Detail}, c.Dump...)
	words = append(words, c.States...)
	name := strings.Join(strings.Fields(strings.Join(words, " ")), "_")
	b, err := fs.ReadFile(r.FS, name+".json")
	if errors.Is(err, fs.ErrNotExist) {
		if r.Missing != nil {
			r.Missing(strings.ReplaceAll(name, "_", " "))
		}
		return nil, commandError(whom, strings.ReplaceAll(name, "_", " "), eNOENT, "not recorded")
	}
	if err != nil {
		return nil, newError(ErrCommand, err, "%s: read recording", whom)
	}
	return b, nil
}

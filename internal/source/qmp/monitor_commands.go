package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// handshake ends capabilities negotiation. It is sent once a conversation, without arguments: so
// no capability is ever turned on.
const handshake = "qmp_capabilities"

// readOnly are the commands that may be sent. They tell and change nothing, neither in the guest
// nor in QEMU. calc-dirty-rate is not among them: besides changing what QEMU does it makes
// version 7.2 crash.
//
// It is sorted.
var readOnly = []string{
	"query-balloon",
	"query-block-jobs",
	"query-blockstats",
	"query-jobs",
	"query-migrate",
	"query-migrate-capabilities",
	"query-migrate-parameters",
	"query-name",
	"query-status",
	"query-version",
}

// allowed says whether the command called name may be sent.
func allowed(name string) bool {
	_, found := slices.BinarySearch(readOnly, name)
	return found
}

// parseCommand returns what a command in JSON asks for. Its id is dropped, as there is one of our
// own; a key that is not known, or that comes twice, is refused.
func parseCommand(raw []byte) (name string, args []byte, err error) {
	raw = bytes.TrimSpace(raw)
	if !isObject(raw) {
		return "", nil, fmt.Errorf("command is %w: %s", errGarbage, excerpt(raw))
	}
	had := map[string]bool{}
	for m := membersOf(raw); m.next(); {
		key := string(m.key)
		if had[key] {
			return "", nil, fmt.Errorf("command has %q twice", key)
		}
		had[key] = true
		switch key {
		case "execute":
			s, ok := text(m.value)
			if !ok {
				return "", nil, fmt.Errorf("command's name is not text: %s", excerpt(m.value))
			}
			name = s
		case "arguments":
			if m.value[0] != '{' {
				return "", nil, fmt.Errorf("command's arguments are %w", errGarbage)
			}
			args = m.value
		case "id":
		default:
			return "", nil, fmt.Errorf("command has unknown key %q", key)
		}
	}
	if name == "" {
		return "", nil, errors.New("command has no name")
	}
	return name, args, nil
}

// appendCommand appends a command, on one line, to buf. id is JSON, args is JSON or nil.
func appendCommand(buf []byte, name string, args, id []byte) ([]byte, error) {
	buf = append(buf, `{"execute":"`...)
	buf = append(buf, name...)
	buf = append(buf, '"')
	if args != nil {
		buf = append(buf, `,"arguments":`...)
		compact := bytes.NewBuffer(buf)
		if err := json.Compact(compact, args); err != nil {
			return nil, err
		}
		buf = compact.Bytes()
	}
	buf = append(buf, `,"id":`...)
	buf = append(buf, id...)
	return append(buf, "}\n"...), nil
}

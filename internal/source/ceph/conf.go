package ceph

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// DefaultConf is where Ceph keeps its configuration, on Proxmox VE a link to /etc/pve/ceph.conf.
const DefaultConf = "/etc/ceph/ceph.conf"

// confFile is a ceph.conf: option by section.
type confFile map[string]map[string]string

// parseConf reads the format of ceph.conf(5): sections, "key = value" where spaces, dashes and
// underscores in a key are one, comments after ; and #, a backslash to continue a line.
func parseConf(b []byte) (confFile, error) {
	conf := confFile{}
	section := "global"
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		for strings.HasSuffix(line, `\`) && lines.Scan() {
			line = strings.TrimSpace(strings.TrimSuffix(line, `\`)) + " " + strings.TrimSpace(lines.Text())
			n++
		}
		line = strings.TrimSpace(stripComment(line))
		switch {
		case line == "":
		case strings.HasPrefix(line, "["):
			name, ok := strings.CutSuffix(line[1:], "]")
			if !ok {
				return nil, fmt.Errorf("%d: section without closing bracket", n)
			}
			section = strings.TrimSpace(name)
		default:
			k, v, ok := strings.Cut(line, "=")
			if !ok {
				return nil, fmt.Errorf("%d: neither a section nor key = value", n)
			}
			if conf[section] == nil {
				conf[section] = map[string]string{}
			}
			conf[section][confKey(k)] = strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return conf, lines.Err()
}

func stripComment(line string) string {
	if i := strings.IndexAny(line, ";#"); i >= 0 {
		return line[:i]
	}
	return line
}

func confKey(k string) string {
	return strings.Join(strings.FieldsFunc(k, func(r rune) bool { return strings.ContainsRune(" \t_-", r) }), "_")
}

// get looks up an option as a client called user would.
func (c confFile) get(user, key string) string {
	for _, section := range []string{"client." + user, "client", "global"} {
		if v, ok := c[section][key]; ok {
			return expand(v, user)
		}
	}
	return ""
}

// expand replaces the metavariables that ceph.conf uses in paths.
func expand(v, user string) string {
	return strings.NewReplacer("$cluster", "ceph", "$name", "client."+user, "$type", "client", "$id", user).Replace(v)
}

// settings is what is found before connecting.
type settings struct {
	fsid    string // of ceph.conf, "" if it names none
	keyring string // path, "" when ceph.conf holds the key itself
}

// check reads ceph.conf and looks for a key of the user. Errors say which file and what to do, and
// never what is in a keyring.
func check(o Options) (settings, error) {
	b, err := os.ReadFile(o.ConfFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return settings{}, newError(ErrNotConfigured, nil, "%s does not exist", o.ConfFile)
	case err != nil:
		return settings{}, newError(ErrConf, err, "cannot read %s (let this program's user read it)", o.ConfFile)
	}
	conf, err := parseConf(b)
	if err != nil {
		return settings{}, newError(ErrConf, nil, "%s:%v", o.ConfFile, err)
	}
	s := settings{fsid: conf.get(o.User, "fsid")}
	if o.Keyring == "" && (conf.get(o.User, "key") != "" || conf.get(o.User, "keyfile") != "") {
		return s, nil
	}
	s.keyring, err = findKey(o, keyringPaths(o, conf))
	return s, err
}

// keyringPaths lists where the key may be: where asked, else where ceph.conf says, else Ceph's
// default places and the one of Proxmox VE.
func keyringPaths(o Options, conf confFile) []string {
	if o.Keyring != "" {
		return []string{o.Keyring}
	}
	const places = "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,/etc/ceph/keyring,/etc/pve/priv/$cluster.$name.keyring"
	list := conf.get(o.User, "keyring") + "," + expand(places, o.User)
	var paths []string
	seen := map[string]bool{}
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(",; \t", r) }) {
		if !seen[p] {
			seen[p] = true
			paths = append(paths, p)
		}
	}
	return paths
}

func findKey(o Options, paths []string) (string, error) {
	advice := "create one with: ceph auth get-or-create client." + o.User + " mon 'allow r' mgr 'allow r' -o "
	var unreadable error
	for _, p := range paths {
		b, err := os.ReadFile(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			unreadable = errors.Join(unreadable, err)
			continue
		}
		keys, err := parseConf(b)
		if err == nil && keys["client."+o.User]["key"] != "" {
			return p, nil
		}
		if o.Keyring != "" {
			return "", newError(ErrKeyring, nil, "keyring %s holds no key of client.%s (%s)", p, o.User, advice+defaultKeyring(o.User))
		}
	}
	if unreadable != nil {
		return "", newError(ErrKeyring, unreadable, "no keyring with a key of client.%s could be read (let this program's user read it)", o.User)
	}
	return "", newError(ErrKeyring, nil, "no keyring holds a key of client.%s, looked at %s (%s)", o.User, strings.Join(paths, ", "), advice+orElse(o.Keyring, defaultKeyring(o.User)))
}

func defaultKeyring(user string) string { return "/etc/ceph/ceph.client." + user + ".keyring" }

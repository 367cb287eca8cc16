package pvefake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// cephCommands are those that may go to a real Ceph.
func cephCommands() []sshCommand {
	all := []sshCommand{
		{"ceph config set", cephConfigSet},
		{"ceph config rm", cephConfigRemove},
		{"ceph config get", cephConfigGet},
		{"ceph config dump", cephConfigDump},
		{"ceph auth get-or-create", cephAuth},
		{"ceph auth get", cephAuth},
		{"ceph auth get-key", cephAuth},
		{"ceph osd crush rule create-replicated", cephRuleCreate},
		{"ceph osd ok-to-stop", cephOKToStop},
		{"ceph osd pool set", cephPoolSetCommand},
		{"ceph status", cephJSON(cephStatus)},
		{"ceph -s", cephJSON(cephStatus)},
		{"ceph health", cephHealthCommand},
		{"rbd ls", rbdList},
	}
	for i, cmd := range all {
		all[i].run = orOutside(cmd)
	}
	return all
}

// cephConfigSet is ceph config set WHO KEY VALUE.
func cephConfigSet(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	if len(v.args) != 3 {
		return failed(22, "Invalid command: missing required parameter")
	}
	who, key, value := v.args[0], strings.NewReplacer(" ", "_", "-", "_").Replace(v.args[1]), v.args[2]
	section, _, _ := strings.Cut(who, ".")
	section, _, _ = strings.Cut(section, "/")
	if !slices.Contains([]string{"global", "mon", "mgr", "osd", "mds", "client"}, section) {
		return failed(22, "Error EINVAL: unrecognized entity '%s'", who)
	}
	if strings.HasSuffix(key, "_hour") && numberOr(value, -1) < 0 || strings.HasSuffix(key, "_hour") && numberOr(value, 0) > 24 {
		return failed(22, "Error EINVAL: error parsing value: Expected option value to be integer, got '%s'", value)
	}
	db := v.n.c.ceph.db
	if db[who] == nil {
		db[who] = map[string]string{}
	}
	db[who][key] = value
	return output{}
}

func cephConfigRemove(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	if len(v.args) == 2 {
		delete(v.n.c.ceph.db[v.args[0]], v.args[1])
	}
	return output{}
}

func cephConfigGet(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	if len(v.args) < 2 {
		return failed(22, "Invalid command: missing required parameter")
	}
	value, ok := v.n.c.ceph.db[v.args[0]][v.args[1]]
	if !ok {
		return failed(2, "Error ENOENT: ")
	}
	return output{stdout: value + "\n"}
}

func cephConfigDump(v *invocation) output {
	return cephJSON(cephConfig)(v)
}

// cephJSON answers with what the API says of the same.
func cephJSON(f func(*call) any) func(*invocation) output {
	return func(v *invocation) output {
		if out := v.n.cephFails(); out != nil {
			return *out
		}
		return output{stdout: string(encode(f(v.n.asRoot(nil, map[string]string{})))) + "\n"}
	}
}

func cephHealthCommand(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	status, _ := v.n.c.cephHealth()
	return output{stdout: status + "\n"}
}

// cephAuth makes a client, or shows the one there is.
func cephAuth(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	if len(v.args) == 0 || !strings.Contains(v.args[0], ".") {
		return failed(22, "Error EINVAL: bad entity name")
	}
	c, name := v.n.c, v.args[0]
	if c.ceph.keys == nil {
		c.ceph.keys = map[string]string{}
	}
	caps := v.args[1:]
	if _, ok := c.ceph.keys[name]; !ok {
		if len(caps) < 2 {
			return failed(2, "Error ENOENT: failed to find %s in keyring", name)
		}
		sum := sha256.Sum256([]byte(c.newUUID()))
		c.ceph.keys[name] = base64.StdEncoding.EncodeToString(sum[:28])
	}
	return output{stdout: fmt.Sprintf("[%s]\n\tkey = %s\n", name, c.ceph.keys[name])}
}

// cephRuleCreate is ceph osd crush rule create-replicated NAME ROOT DOMAIN [CLASS].
func cephRuleCreate(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	s := v.n.c.ceph
	if len(v.args) < 3 {
		return failed(22, "Invalid command: missing required parameter")
	}
	if len(v.args) > 3 && !slices.ContainsFunc(s.osds, func(o *cephOSD) bool { return o.class == v.args[3] }) {
		return failed(22, "Error EINVAL: device class %s does not exist", v.args[3])
	}
	if !slices.Contains(s.rules, v.args[0]) {
		s.rules = append(s.rules, v.args[0])
	}
	return output{}
}

// cephPoolSetCommand is ceph osd pool set POOL KEY VALUE.
func cephPoolSetCommand(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	if len(v.args) < 3 {
		return failed(22, "Invalid command: missing required parameter")
	}
	s := v.n.c.ceph
	p := s.pool(v.args[0])
	if p == nil {
		return failed(2, "Error ENOENT: unrecognized pool '%s'", v.args[0])
	}
	t := &task{}
	if status := s.apply(p, map[string]string{v.args[1]: v.args[2]}, t); status != "OK" {
		return failed(22, "Error EINVAL: %s", t.log[len(t.log)-1])
	}
	return output{}
}

// rbdChecksum is rbd export POOL/IMAGE - | sha256sum: the same image has the same sum.
func rbdChecksum(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	pool, image, _ := strings.Cut(v.args[0], "/")
	p := v.n.c.ceph.pool(pool)
	if p == nil || p.images[image] == 0 {
		return failed(2, "rbd: error opening image %s: (2) No such file or directory", image)
	}
	sum := sha256.Sum256([]byte(v.n.c.ceph.fsid + v.args[0]))
	return output{stdout: hex.EncodeToString(sum[:]) + "  -\n"}
}

func rbdList(v *invocation) output {
	if out := v.n.cephFails(); out != nil {
		return *out
	}
	name := v.args[len(v.args)-1]
	pool := v.n.c.ceph.pool(name)
	if pool == nil {
		return failed(2, "rbd: error opening pool '%s': (2) No such file or directory\n%s", name, listingFailed)
	}
	return output{stdout: strings.Join(append(sortedKeys(pool.images), ""), "\n")}
}

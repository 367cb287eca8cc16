package pvefake

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// clusterCommands are those of Proxmox VE and Ceph.
func clusterCommands() []sshCommand {
	all := []sshCommand{
		{"pvesh get", pvesh(http.MethodGet)},
		{"pvesh create", pvesh(http.MethodPost)},
		{"pvesh set", pvesh(http.MethodPut)},
		{"pvesh delete", pvesh(http.MethodDelete)},
		{"pveceph install", pvecephInstall},
		{"pvecm status", pvecmStatus},
		{"pvecm add", pvecmAdd},
		{"pvecm delnode", func(v *invocation) output {
			return v.n.callAPI(http.MethodDelete, "/cluster/config/nodes/"+v.args[0], nil)
		}},
		{"pvecm expected", pvecmExpected},
		{"pvecm qdevice setup", qdeviceSetup},
		{"pvecm qdevice remove", func(v *invocation) output { v.n.c.qdevice = ""; return output{} }},
		{"ha-manager status", haManagerStatusText},
		{"ha-manager crm-command node-maintenance", nodeMaintenance},
		{"ceph --version", func(v *invocation) output { _, long := v.n.c.versionOf(v.n); return output{stdout: long + "\n"} }},
		{"rbd-checksum", rbdChecksum},
	}
	return append(all, cephCommands()...)
}

// asRoot is a call of a command line tool: root@pam without a ticket.
func (n *node) asRoot(m *method, params map[string]string) *call {
	return &call{c: n.c, via: n, n: n, m: m, params: params, id: identity{user: "root@pam", in: n.auth()}}
}

// pvesh calls the API as root@pam. A task runs in the foreground: its log comes first, the UPID last.
func pvesh(verb string) func(*invocation) output {
	return func(v *invocation) output {
		params := map[string]string{}
		if len(v.args) == 0 {
			return failed(255, "400 not enough arguments")
		}
		for i := 1; i < len(v.args); i++ {
			key, value, ok := strings.Cut(strings.TrimLeft(v.args[i], "-"), "=")
			if !ok && i+1 < len(v.args) {
				i++
				value = v.args[i]
			}
			if old, twice := params[key]; twice {
				value = old + "\x00" + value
			}
			params[key] = value
		}
		delete(params, "output-format")
		return v.n.callAPI(verb, v.args[0], params)
	}
}

func (n *node) callAPI(verb, path string, params map[string]string) output {
	c := n.c
	m, vars := c.methods.find(verb, path)
	if m == nil {
		return failed(255, "No '%s' handler defined for '%s'", map[string]string{"GET": "get", "POST": "create", "PUT": "set", "DELETE": "delete"}[verb], path)
	}
	if params == nil {
		params = map[string]string{}
	}
	for k, v := range vars {
		params[k] = v
	}
	target, err := c.route(n, m, vars)
	if err == nil {
		err = m.check(params, nil)
	}
	if err != nil {
		return apiFailure(err)
	}
	q := n.asRoot(m, params)
	q.n = target
	data, err := m.handle(q)
	if err != nil {
		return apiFailure(err)
	}
	switch t := data.(type) {
	case counted:
		data = t.rows
	case withMore:
		data = t.data
	}
	log := ""
	if upid, ok := data.(string); ok && strings.HasPrefix(upid, "UPID:") {
		t := c.runToEnd(upid)
		log = strings.Join(t.log[:max(len(t.log)-1, 0)], "\n")
		if log != "" {
			log += "\n"
		}
		if t.running() {
			return output{stdout: log, stderr: "got timeout\n", exit: 255}
		}
		if t.failed() {
			return output{stdout: log, stderr: t.status + "\n", exit: 255}
		}
	}
	return output{stdout: log + string(encode(data)) + "\n"}
}

func apiFailure(err error) output {
	e, ok := err.(*apiError)
	if !ok {
		return failed(255, "%v", err)
	}
	text := e.message
	if text == "" {
		text = fmt.Sprintf("proxy handler failed: %d %s", e.status, e.reason)
	}
	if e.errors != nil {
		text = "400 Parameter verification failed.\n"
		for _, k := range sortedKeys(e.errors) {
			text += k + ": " + e.errors[k] + "\n"
		}
	}
	return failed(255, "%s", text)
}

// foregroundLimit bounds how long a task in the foreground may take, on the clock that moves it.
const foregroundLimit = time.Hour

// runToEnd waits until a task has ended: it moves the virtual clock, or where others move it or do the
// task's work looks again and again. Callers hold Cluster.mu, which is free meanwhile.
func (c *Cluster) runToEnd(upid string) *task {
	for _, t := range c.tasks {
		if t.upid() != upid {
			continue
		}
		for end := c.now.Add(foregroundLimit); t.running() && c.now.Before(end) && c.ctx.Err() == nil; {
			if c.walking || t.live {
				c.mu.Unlock()
				select {
				case <-c.ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				c.mu.Lock()
				continue
			}
			c.tick()
		}
		return t
	}
	return &task{status: "no such task"}
}

// pvecephInstall needs its yes on stdin, a known release and a repository that may be used without a
// subscription. It ends with a reload of the API's services.
func pvecephInstall(v *invocation) output {
	n, release, repository := v.n, v.flagValue("--version"), v.flagValue("--repository")
	if !slices.Contains(n.c.cephReleases(), release) {
		return failed(255, "400 Parameter verification failed.\nversion: value '%s' does not have a value in the enumeration '%s'", release, strings.Join(n.c.cephReleases(), ", "))
	}
	if repository == "" {
		repository = "enterprise"
	}
	if !strings.HasPrefix(v.stdin, "y") {
		return failed(1, "Do you want to continue? [Y/n] Abort.\napt failed during ceph installation (256)")
	}
	if repository == "enterprise" {
		return failed(1, "E: Failed to fetch https://enterprise.proxmox.com/debian/ceph-%s: 401 Unauthorized\nunable to update the package list", release)
	}
	n.box.cephRelease = release
	for h := range n.box.repos {
		if strings.HasPrefix(h, "ceph-") {
			delete(n.box.repos, h)
		}
	}
	n.box.repos["ceph-"+release+"-"+repository] = true
	n.box.enabled["ceph.target"] = true
	n.restartAPI(2 * time.Second)
	return output{stdout: "\ninstalled ceph " + release + " successfully!\n\nreloading API to load new Ceph RADOS library...\n"}
}

// restartAPI takes the API away for some seconds.
func (n *node) restartAPI(d time.Duration) {
	if !n.running() {
		return
	}
	n.apiDown = true
	n.stopListening()
	n.c.later(d, func() {
		n.apiDown = false
		if !n.up {
			return
		}
		if err := n.startListening(); err != nil {
			n.logLine("pveproxy", "root@pam", err.Error())
		}
	})
}

func pvecmStatus(v *invocation) output {
	n := v.n
	if !n.inCluster() {
		return failed(2, "Error: Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?")
	}
	return output{stdout: fmt.Sprintf("Cluster information\n-------------------\nName:             %s\nConfig Version:   %d\nQuorate:          %s\nTotal votes:      %d\n",
		n.c.name(), n.c.confVersion, map[bool]string{true: "Yes", false: "No"}[n.quorate], len(n.members))}
}

// pvecmExpected is `corosync-quorumtool -e`: it holds until votes are counted anew.
func pvecmExpected(v *invocation) output {
	if len(v.args) != 1 || !v.n.inCluster() {
		return failed(255, "400 not enough arguments")
	}
	votes := int(numberOr(v.args[0], 0))
	if votes < 1 {
		return failed(255, "400 Parameter verification failed.\nexpected: value must have a minimum value of 1")
	}
	v.n.expected = votes
	return output{}
}

// pvecmAdd is the join through the trust of root's SSH keys, in the foreground.
func pvecmAdd(v *invocation) output {
	n := v.n
	if len(v.args) == 0 || !slices.Contains(v.args, "--use_ssh") {
		return failed(255, "pvecm add without --use_ssh asks for a password")
	}
	m := n.c.nodeByAddress(v.args[0])
	if m == nil || !m.up {
		return failed(255, "unable to copy ssh ID: ssh: connect to host %s port 22: Connection refused", v.args[0])
	}
	params := map[string]string{"hostname": v.args[0], "password": m.auth().users["root@pam"].password, "fingerprint": n.c.pki.nodes[m.id-1].fingerprint}
	for k := range indexLimits["link"] {
		if l := v.flagValue(fmt.Sprintf("--link%d", k)); l != "" {
			params[fmt.Sprintf("link%d", k)] = l
		}
	}
	return n.callAPI(http.MethodPost, "/cluster/config/join", params)
}

func qdeviceSetup(v *invocation) output {
	n := v.n
	switch {
	case len(v.args) == 0 || net.ParseIP(v.args[0]) == nil:
		return failed(255, "400 not enough arguments")
	case !n.inCluster() || !n.quorate:
		return failed(255, "cluster not ready - no quorum?")
	case n.c.qdevice != "":
		return failed(255, "QDevice already set up, remove the old one first or use '--force'")
	case n.c.offline[v.args[0]]:
		return failed(255, "ssh: connect to host %s port 22: No route to host", v.args[0])
	}
	for _, m := range n.mates() {
		if m.packages()["corosync-qdevice"] == "" {
			return failed(255, "Node '%s' does not have corosync-qdevice installed\ncommand 'ssh root@%s corosync-qdevice-net-certutil' failed: exit code 127", m.name, m.ip)
		}
	}
	n.c.qdevice = v.args[0]
	n.c.confVersion++
	return output{stdout: "INFO: start and enable corosync qdevice daemon on all nodes\nDone\n"}
}

func haManagerStatusText(v *invocation) output {
	n := v.n
	var b strings.Builder
	data, err := haCurrent(n.asRoot(nil, map[string]string{}))
	if err != nil {
		return apiFailure(err)
	}
	for _, r := range data.(list) {
		row := r.(obj)
		fmt.Fprintf(&b, "%v %v\n", row["type"], row["status"])
	}
	return output{stdout: b.String()}
}

func nodeMaintenance(v *invocation) output {
	n := v.n
	if len(v.args) != 2 || v.args[0] != "enable" && v.args[0] != "disable" {
		return failed(255, "400 not enough arguments")
	}
	switch {
	case !n.quorate:
		return failed(13, "trying to acquire cfs lock 'domain-ha' ...\ncfs-lock 'domain-ha' error: no quorum!")
	case n.mate(v.args[1]) == nil:
		return failed(255, "no such cluster node '%s'", v.args[1])
	}
	n.c.wantsHA = true // a CRM takes up work for a command too
	n.own().ha.commands = append(n.own().ha.commands, crmCommand{verb: v.args[0] + "-node-maintenance", node: v.args[1]})
	return output{}
}

// cephGuardCommand says why ceph fails, nil if it works.
func (n *node) cephFails() *output {
	s := n.c.ceph
	var out output
	switch {
	case n.box.cephRelease == "" && !n.box.recorded:
		out = failed(127, "bash: line 1: ceph: command not found")
	case s == nil || n.alone != nil:
		out = failed(1, "Error initializing cluster client: ObjectNotFound('RADOS object not found (error calling conf_read_file)')")
	case s.quorum() == nil:
		out = failed(1, "monclient(hunting): authenticate timed out after 300")
	default:
		return nil
	}
	return &out
}

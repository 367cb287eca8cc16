package pvefake

import (
	"crypto/x509"
	"fmt"
)

func nodeHandlers() map[string]handler {
	return map[string]handler{
		"GET /nodes":                                    nodesIndex,
		"GET /nodes/{node}/status":                      nodeStatus,
		"GET /nodes/{node}/version":                     version,
		"GET /nodes/{node}/time":                        nodeTime,
		"GET /nodes/{node}/subscription":                subscription,
		"GET /nodes/{node}/services":                    services,
		"GET /nodes/{node}/certificates/info":           certificates,
		"GET /nodes/{node}/replication":                 replication,
		"GET /nodes/{node}/capabilities/qemu/migration": func(*call) (any, error) { return obj{"has-dbus-vmstate": false}, nil },
	}
}

func nodesIndex(q *call) (any, error) {
	rows := bag{}
	for _, n := range q.mates() {
		row := q.nodeStats(n)
		row["ssl_fingerprint"] = q.c.pki.nodes[n.id-1].fingerprint
		rows = append(rows, row)
	}
	return rows, nil
}

const kernel = "6.14.8-2-pve"

func nodeStatus(q *call) (any, error) {
	n := q.n.numbers()
	v, _, repo := q.c.opt.Version.release()
	root := obj{"total": n.maxdisk, "used": n.disk, "free": n.maxdisk - n.disk, "avail": n.maxdisk - n.disk}
	memory := obj{"total": n.maxmem, "used": n.mem, "free": n.maxmem - n.mem}
	if q.c.opt.Version != V84 {
		memory["available"] = n.maxmem - n.mem
	}
	return obj{
		"cpu": n.cpu, "wait": 0, "idle": 0, "uptime": n.uptime, "pveversion": "pve-manager/" + v + "/" + repo,
		"loadavg": list{fmt.Sprintf("%.2f", n.load), fmt.Sprintf("%.2f", n.load*0.9), fmt.Sprintf("%.2f", n.load*0.8)},
		"memory":  memory, "rootfs": root, "swap": obj{"total": 0, "used": 0, "free": 0}, "ksm": obj{"shared": 0},
		"boot-info": obj{"mode": "legacy-bios"}, "kversion": "Linux " + q.n.kernel() + " #1 SMP PREEMPT_DYNAMIC",
		"current-kernel": obj{"sysname": "Linux", "release": q.n.kernel(), "version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64"},
		"cpuinfo": obj{
			"cpus": n.maxcpu, "cores": n.maxcpu, "sockets": 1, "hvm": "1", "mhz": "2000.000", "model": "Fake CPU", "vendor": "GenuineIntel",
			"family": "6", "flags": "fpu vme sse2 vmx", "user_hz": 100,
		},
	}, nil
}

func nodeTime(q *call) (any, error) {
	t := q.c.unix() + int64(q.n.box.spec.ClockSkew.Seconds())
	return obj{"time": t, "localtime": t, "timezone": q.n.box.timezone}, nil
}

func subscription(*call) (any, error) {
	return obj{
		"status": "notfound", "message": "There is no subscription key", "serverid": nil,
		"url": "https://www.proxmox.com/en/proxmox-virtual-environment/pricing",
	}, nil
}

// unitNames are the services of a node that the API reports, and whether they run here.
var unitNames = []string{
	"+chrony", "+corosync", "+cron", "-ksmtuned", "+lxcfs", "+postfix", "-proxmox-firewall", "+pve-cluster", "+pve-firewall",
	"+pve-ha-crm", "+pve-ha-lrm", "+pve-lxc-syscalld", "+pvedaemon", "+pvefw-logger", "+pveproxy", "+pvescheduler", "+pvestatd",
	"+qmeventd", "+spiceproxy", "+sshd", "-syslog", "+systemd-journald", "-systemd-timesyncd",
}

func services(*call) (any, error) {
	rows := bag{}
	for _, u := range unitNames {
		name := u[1:]
		row := obj{"service": name, "name": name, "desc": name, "unit-state": "enabled", "state": "running", "active-state": "active"}
		if u[0] == '-' {
			row["state"], row["active-state"] = "dead", "inactive"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func certificates(q *call) (any, error) {
	own := q.c.pki.nodes[q.n.id-1]
	return bag{
		certificateRow("pve-root-ca.pem", q.c.pki.ca, string(q.c.pki.caPEM), fingerprint(q.c.pki.ca.Raw)),
		certificateRow("pve-ssl.pem", own.leaf, string(own.pem), own.fingerprint),
	}, nil
}

func certificateRow(file string, cert *x509.Certificate, pem, fp string) obj {
	san := list{}
	for _, ip := range cert.IPAddresses {
		san = append(san, ip.String())
	}
	for _, name := range cert.DNSNames {
		san = append(san, name)
	}
	return obj{
		"filename": file, "fingerprint": fp, "pem": pem, "subject": "/CN=" + cert.Subject.CommonName, "issuer": "/CN=" + cert.Issuer.CommonName,
		"notbefore": cert.NotBefore.Unix(), "notafter": cert.NotAfter.Unix(), "public-key-type": "id-ecPublicKey", "public-key-bits": 256, "san": san,
	}
}

// replication takes the lock of replication.cfg even to read, so without quorum it waits ten seconds
// and fails (pve-guest-common src/PVE/ReplicationState.pm).
func replication(q *call) (any, error) {
	if !q.n.quorate {
		return nil, quorumLock("", "file-replication_cfg")
	}
	return list{}, nil
}

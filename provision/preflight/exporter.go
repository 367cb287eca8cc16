package preflight

// exporterProgram looks at what is copied to the nodes: another build would run there and see neither
// corosync nor Ceph, or not run at all.
func exporterProgram(r *run) {
	e := r.spec.Monitoring.Exporter
	if !e.Install || e.Package != "" {
		return
	}
	const at, fix = "spec.monitoring.exporter", "run a quorate that `make build` made on Debian 12, or name the .deb of `make deb` as package:"
	p, ok := known(r, "", "the program that is copied to the nodes", r.Facts.Here.Program)
	switch {
	case !ok:
		return
	case p.Machine == "":
		r.say(Error, at, fix, "the nodes get a copy of this quorate, which was built for %s and runs on no node", p.Built)
		return
	case !p.Cgo:
		r.say(Error, at, fix, "the nodes get a copy of this quorate, which was built without cgo and sees neither corosync nor Ceph")
	}
	for _, n := range r.nodes() {
		if m, ok := known(r, n.Name, "the kind of its processor", n.facts.Host.Machine); ok && m != p.Machine {
			r.sayOn(n.Name, Error, fix, "is a machine of type %s, and gets a copy of this quorate, which was built for %s", m, p.Built)
		}
	}
}

func exporterPackage(r *run) {
	e := r.spec.Monitoring.Exporter
	if !e.Install || e.Package == "" {
		return
	}
	const at, fix = "spec.monitoring.exporter.package", "`make deb` makes one; without package: this quorate itself is copied"
	isDeb, ok := r.Facts.Here.Package.Get()
	switch {
	case !ok:
		r.say(Error, at, fix, "the exporter's package cannot be read here: %v", r.Facts.Here.Package.Err())
	case !isDeb:
		r.say(Error, at, fix, "%s is no Debian package", e.Package)
	}
}

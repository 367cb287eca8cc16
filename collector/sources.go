package collector

// Sources is everything collectors may be built from. A nil field means that this program was
// built or configured without that source.
type Sources struct {
	Corosync  CorosyncReader
	Links     LinkMeasurer
	Ceph      CephReader
	HA        HAReader
	PVE       *PVESource
	PVENode   *PVENodeSource
	Tasks     TasksReader
	Migration *MigrationSource
}

// Specs are all collectors there are, in the order of docs/metrics.md.
func Specs() []Spec {
	return []Spec{CorosyncSpec(), LinksSpec(), CephSpec(), HASpec(), PVESpec(), PVENodeSpec(), TasksSpec(), MigrationSpec()}
}

package pvefake

import "maps"

// handlers joins the handler tables of all subjects, keyed "METHOD /path".
func handlers() map[string]handler {
	all := map[string]handler{}
	for _, part := range []map[string]handler{
		accessHandlers(), clusterHandlers(), configHandlers(), taskHandlers(), haHandlers(), haGroupHandlers(), nodeHandlers(),
		guestHandlers(), storageHandlers(), cephHandlers(), networkHandlers(), machineHandlers(), accessWriteHandlers(),
		clusterWriteHandlers(), storageWriteHandlers(), haRuleHandlers(), cephWriteHandlers(), guestWriteHandlers(),
	} {
		maps.Copy(all, part)
	}
	return all
}

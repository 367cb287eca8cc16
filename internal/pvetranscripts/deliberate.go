package pvetranscripts

import "strings"

// exception is something in which the fake and the recorded lab may differ, and why.
type exception struct {
	method string // "": any
	path   string // contained in the path or command
	reason string // contained in what the real one answered: reason or exit status; "": any
	why    string
}

// exceptions are all deliberate differences.
var exceptions = []exception{
	{"POST", "/cluster/backup", "OK", "the parser of calendar events was a stub that took anything in that lab; a real node refuses cron with 400"},
	{"GET", "/cluster/jobs/schedule-analyze", "OK", "the parser of calendar events was a stub that took anything in that lab; a real node refuses cron with 400"},
	{"POST", "/vzdump", "sendmail", "that lab had no sendmail, so vzdump ended before it looked for the guest"},
	{"GET", "/nodes/pve1/qemu/100/config", "does not exist", "recordings of migrations had moved vm 100 meanwhile"},
	{"POST", "/cluster/config/join", "No ticket", "the node hung in the join of the case before, so the recorder had no ticket for it"},
	{"POST", "/cluster/config/join", "OK", "a join with a node id that is taken hung without an end on the real one; the fake refuses the id, as the member does when it looks"},
	{"", "node-maintenance disable", "", "the recorder's nsenter failed, the command was never run"},
	{"", "/qemu/110", "", "vm 110 was made by recordings of migrations, which are not in the file"},
	{"DELETE", "/qemu/", "listing images failed", "that lab had storages of other cases whose pools were gone"},
	{"DELETE", "/qemu/101", "is running", "that lab's guests have no system that obeys a shutdown, so the HA manager's stop took longer than the 40 s until this request"},
}

// deliberate returns the reason why a record may differ, "" if it must not.
func deliberate(r record, _ bool) string {
	exit := ""
	if r.Exit != nil {
		exit = *r.Exit
	}
	for _, e := range exceptions {
		if (e.method == "" || e.method == r.Method) && strings.Contains(r.Path+r.Command, e.path) && strings.Contains(r.Reason+"\n"+exit, e.reason) {
			return e.why
		}
	}
	return ""
}

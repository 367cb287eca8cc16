package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func clusterWriteHandlers() map[string]handler {
	return map[string]handler{
		"PUT /cluster/options":               optionsSet,
		"POST /cluster/backup":               backupCreate,
		"PUT /cluster/backup/{id}":           backupUpdate,
		"DELETE /cluster/backup/{id}":        backupDelete,
		"GET /cluster/jobs/schedule-analyze": scheduleAnalyze,
	}
}

// optionStrings are the keys of datacenter.cfg that the API returns as objects, each with its default key.
var optionStrings = map[string]string{"migration": "type", "replication": "type", "ha": "", "crs": "", "next-id": "", "bwlimit": ""}

func clusterOptions(q *call) (any, error) {
	if !q.may("/", "Sys.Audit") {
		return obj{"allowed-tags": list{}}, nil
	}
	row := obj{"allowed-tags": list{}, "description": "", "mac_prefix": "BC:24:11"}
	for k, v := range q.view().options {
		row[k] = v
		if first, ok := optionStrings[k]; ok {
			parts := obj{}
			for name, value := range properties(v, first) {
				parts[name] = value
			}
			row[k] = parts
		}
	}
	return row, nil
}

// optionsSet writes the keys given and leaves the others; deleting what is not set is no fault.
func optionsSet(q *call) (any, error) {
	if err := q.fileLock("", "file-datacenter_cfg"); err != nil {
		return nil, err
	}
	f := q.live()
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		delete(f.options, key)
	}
	for k, v := range q.params {
		if k != "delete" {
			f.options[k] = v
		}
	}
	return nil, nil
}

// optionsText is datacenter.cfg.
func (f *cfs) optionsText() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(f.options)) {
		fmt.Fprintf(&b, "%s: %s\n", k, f.options[k])
	}
	return b.String()
}

// fromParams fills a job from the parameters of a request.
func (j *backupJob) fromParams(params map[string]string) {
	j.conf = maps.Clone(params)
	delete(j.conf, "id")
	delete(j.conf, "delete")
	j.settle()
}

// settle reads the keys that the simulation uses.
func (j *backupJob) settle() {
	j.schedule, j.storage, j.all = j.conf["schedule"], j.conf["storage"], truth(j.conf["all"])
	j.enabled = j.conf["enabled"] == "" || truth(j.conf["enabled"])
	j.vmids = nil
	for _, v := range listSepRE.Split(j.conf["vmid"], -1) {
		if id, err := strconv.Atoi(v); err == nil {
			j.vmids = append(j.vmids, id)
		}
	}
}

// jobFault is pve-manager PVE/API2/Backup.pm and VZDump.pm verify_vzdump_parameters.
func jobFault(conf map[string]string) error {
	many := 0
	for _, k := range []string{"all", "pool", "vmid"} {
		if v := conf[k]; v != "" && (k != "all" || truth(v)) {
			many++
		}
	}
	switch {
	case conf["starttime"] != "" && conf["schedule"] != "":
		return invalid(map[string]string{"starttime": "'starttime' and 'schedule' cannot both be set"})
	case conf["starttime"] == "" && conf["schedule"] == "":
		return invalid(map[string]string{"schedule": "neither 'starttime' nor 'schedule' were set"})
	case many == 0:
		return wrapped400(map[string]string{"vmid": "property is missing"})
	case many > 1:
		return wrapped400(map[string]string{"all": "option conflicts with option 'vmid'"})
	}
	return nil
}

// wrapped400 is a parameter fault found while a lock is held: it comes out as text of a 500.
func wrapped400(errs map[string]string) *apiError {
	var b strings.Builder
	b.WriteString("400 Parameter verification failed.\n")
	for _, k := range sortedKeys(errs) {
		fmt.Fprintf(&b, "%s: %s\n", k, errs[k])
	}
	return fail(500, b.String())
}

func (q *call) findJob() int {
	return slices.IndexFunc(q.live().jobs, func(j *backupJob) bool { return j.id == q.str("id") })
}

func backupCreate(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	id := q.str("id")
	if id != "" && q.findJob() >= 0 {
		return nil, fail(500, "Job '"+id+"' already exists")
	}
	if err := jobFault(q.params); err != nil {
		return nil, err
	}
	if id == "" {
		id = q.c.newUUID()
	}
	j := &backupJob{id: id}
	j.fromParams(q.params)
	if _, ok := j.conf["enabled"]; !ok {
		j.conf["enabled"] = "1"
	}
	q.live().jobs = append(q.live().jobs, j)
	return nil, nil
}

func backupUpdate(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	i := q.findJob()
	if i < 0 {
		return nil, fail(500, "no such vzdump job")
	}
	j := q.live().jobs[i]
	conf := maps.Clone(j.conf)
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		delete(conf, key)
	}
	for k, v := range q.params {
		if k != "id" && k != "delete" {
			conf[k] = v
		}
	}
	if q.flag("all") { // one way to choose guests replaces another
		delete(conf, "vmid")
		delete(conf, "pool")
	}
	if err := jobFault(conf); err != nil {
		return nil, err
	}
	j.conf = conf
	j.settle()
	return nil, nil
}

func backupDelete(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	i := q.findJob()
	if i < 0 {
		return nil, wrapped400(map[string]string{"id": "No such job '" + q.str("id") + "'"})
	}
	q.live().jobs = slices.Delete(q.live().jobs, i, i+1)
	return nil, nil
}

// row is a job as the API tells it.
func (j *backupJob) row(now time.Time, withNext bool) obj {
	row := obj{"id": j.id, "type": "vzdump"}
	for k, v := range j.conf {
		switch k {
		case "enabled", "all", "remove", "quiet", "protected", "stop", "stdexcludes", "repeat-missed":
			row[k] = bit(truth(v))
		case "prune-backups", "fleecing", "performance":
			parts := obj{}
			for name, value := range properties(v, "enabled") {
				parts[name] = value
			}
			row[k] = parts
		default:
			row[k] = v
		}
	}
	if e, err := parseCalendarEvent(j.schedule); withNext && err == nil && j.enabled {
		if next := e.next(now); !next.IsZero() {
			row["next-run"] = next.Unix()
		}
	}
	return row
}

func scheduleAnalyze(q *call) (any, error) {
	e, err := parseCalendarEvent(q.str("schedule"))
	if err != nil {
		return nil, fail(500, err.Error())
	}
	rows := list{}
	at := time.Unix(q.num("starttime", q.c.unix()), 0)
	for range q.num("iterations", 10) {
		if at = e.next(at); at.IsZero() {
			break
		}
		rows = append(rows, obj{"timestamp": at.Unix(), "utc": ctime(at.Unix())})
	}
	return rows, nil
}

package pvefake

// methodFacts lists the methods this fake serves and what the API viewer says of them: who may call
// them, which node answers, and each parameter with type, format, values and bounds. These are facts
// about PVE 8.4 and 9.2 in our own notation (see parseMethods); a test holds them against both
// published schemas.
//
//	METHOD PATH PERMISSION [@node] [@notoken] [@9] [+GROUP] PARAMETER…
//	GROUP NAME PARAMETER…           parameters that several methods share
//	FORMAT NAME PARAMETER…          a property string: "key=value,key=value"
//	PERMISSION: [9!|8!] all | world | root | PATH,PRIV (&: all of, |: any of); && and || between terms
//	PARAMETER:  [9!|8!][INSTANCE@]name[?]:type[/format][=enum|enum][>min][<max][%minlength][#length][&requires][*][~regex]
//	            name[n] stands for name0, name1, …; INSTANCE@ belongs to that value of the parameter type;
//	            * marks the key that may be left out in a property string, a->b[@k] another name of a key
const methodFacts = accessFacts + clusterFacts + nodeFacts + guestFacts + cephFacts +
	accessWriteFacts + clusterWriteFacts + nodeWriteFacts + cephWriteFacts + qemuWriteFacts + formatFacts

const accessFacts = `
GET /access all
POST /access/ticket world @notoken
	new-format?:boolean otp?:string password:string path?:string#64&privs privs?:string/pve-priv-list#64&path
	realm?:string/pve-realm#32 tfa-challenge?:string username:string#64
GET /access/permissions all
	path?:string
	userid?:string~(?:^(?:[^\s:/]+)\@(?:[A-Za-z][A-Za-z0-9\.\-_]+)(?:!(?:[A-Za-z][A-Za-z0-9\.\-_]+))?$)
GET /access/users all enabled?:boolean full?:boolean
GET /access/roles all
GET /access/acl all
`

const clusterFacts = `
GET /version all
GET /cluster all
GET /cluster/status /,Sys.Audit
GET /cluster/resources all type?:string=vm|storage|node|sdn
GET /cluster/tasks all
GET /cluster/log all max?:integer>1
GET /cluster/nextid all vmid?:integer/pve-vmid>100<999999999
GET /cluster/options all
GET /cluster/replication all
GET /cluster/backup /,Sys.Audit
GET /cluster/backup/{id} /,Sys.Audit id:string#50~\S+
GET /cluster/backup-info/not-backed-up /,Sys.Audit
GET /cluster/metrics/export /,Sys.Audit
	history?:boolean local-only?:boolean 9!node-list?:string start-time?:integer
GET /cluster/metrics/server /,Sys.Audit
GET /cluster/jobs/realm-sync /,Sys.Audit
GET /cluster/config/join /,Sys.Audit node?:string/pve-node
GET /cluster/config/nodes /,Sys.Audit
GET /cluster/config/totem /,Sys.Audit
GET /cluster/config/qdevice /,Sys.Audit
GET /cluster/config/apiversion /,Sys.Audit
GET /cluster/ha /,Sys.Audit
GET /cluster/ha/status/current /,Sys.Audit
GET /cluster/ha/status/manager_status /,Sys.Audit
POST /cluster/ha/status/arm-ha /,Sys.Console @9
POST /cluster/ha/status/disarm-ha /,Sys.Console @9 resource-mode:string=freeze|ignore
GET /cluster/ha/resources /,Sys.Audit type?:string=ct|vm
POST /cluster/ha/resources /,Sys.Console
	comment?:string#4096 9!failback?:boolean group?:string/pve-configid max_relocate?:integer>0
	max_restart?:integer>0 sid:string/pve-ha-resource-or-vm-id
	state?:string=started|stopped|enabled|disabled|ignored type?:string=ct|vm
GET /cluster/ha/resources/{sid} /,Sys.Audit sid:string/pve-ha-resource-or-vm-id
PUT /cluster/ha/resources/{sid} /,Sys.Console
	comment?:string#4096 delete?:string/pve-configid-list#4096 digest?:string#64 9!failback?:boolean
	group?:string/pve-configid max_relocate?:integer>0 max_restart?:integer>0
	sid:string/pve-ha-resource-or-vm-id state?:string=started|stopped|enabled|disabled|ignored
DELETE /cluster/ha/resources/{sid} /,Sys.Console 9!purge?:boolean sid:string/pve-ha-resource-or-vm-id
POST /cluster/ha/resources/{sid}/migrate /,Sys.Console node:string/pve-node sid:string/pve-ha-resource-or-vm-id
POST /cluster/ha/resources/{sid}/relocate /,Sys.Console
	node:string/pve-node sid:string/pve-ha-resource-or-vm-id
GET /cluster/ha/groups /,Sys.Audit
GET /cluster/ha/groups/{group} /,Sys.Audit group:string/pve-configid
GET /cluster/ha/rules /,Sys.Audit @9 resource?:string type?:string=node-affinity|resource-affinity
GET /cluster/ha/rules/{rule} /,Sys.Audit @9 rule:string/pve-configid
POST /cluster/ha/groups /,Sys.Console
	comment?:string#4096 group:string/pve-configid 9!nodes:string/pve-ha-node-list
	8!nodes:string/pve-ha-group-node-list nofailback?:boolean restricted?:boolean type?:string=group
PUT /cluster/ha/groups/{group} /,Sys.Console
	comment?:string#4096 delete?:string/pve-configid-list#4096 digest?:string#64 group:string/pve-configid
	9!nodes?:string/pve-ha-node-list 8!nodes?:string/pve-ha-group-node-list nofailback?:boolean
	restricted?:boolean
DELETE /cluster/ha/groups/{group} /,Sys.Console group:string/pve-configid
DELETE /cluster/ha/rules/{rule} /,Sys.Console @9 rule:string/pve-configid
`

const nodeFacts = `
GET /nodes all
GET /nodes/{node}/status /nodes/{node},Sys.Audit @node node:string/pve-node
GET /nodes/{node}/version all @node node:string/pve-node
GET /nodes/{node}/time /nodes/{node},Sys.Audit @node node:string/pve-node
GET /nodes/{node}/subscription all @node node:string/pve-node
GET /nodes/{node}/services /nodes/{node},Sys.Audit @node node:string/pve-node
GET /nodes/{node}/network all @node
	node:string/pve-node
	9!type?:string=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge|any_local_bridge|include_sdn
	8!type?:string=bridge|bond|eth|alias|vlan|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge|any_local_bridge
GET /nodes/{node}/dns /nodes/{node},Sys.Audit @node node:string/pve-node
GET /nodes/{node}/hosts /,Sys.Audit @node node:string/pve-node
GET /nodes/{node}/certificates/info all @node node:string/pve-node
GET /nodes/{node}/apt/repositories /nodes/{node},Sys.Audit @node node:string/pve-node
GET /nodes/{node}/disks/list /,Sys.Audit||/nodes/{node},Sys.Audit @node
	include-partitions?:boolean node:string/pve-node skipsmart?:boolean type?:string=unused|journal_disks
GET /nodes/{node}/replication all @node guest?:integer/pve-vmid>100<999999999 node:string/pve-node
GET /nodes/{node}/capabilities/qemu/migration /nodes/{node},Sys.Audit @node @9 node:string/pve-node
GET /nodes/{node}/tasks all @node
	errors?:boolean limit?:integer>0 node:string/pve-node since?:integer source?:string=archive|active|all
	start?:integer>0 statusfilter?:string/pve-task-status-type-list typefilter?:string until?:integer
	userfilter?:string vmid?:integer/pve-vmid>100<999999999
DELETE /nodes/{node}/tasks/{upid} all @node node:string/pve-node upid:string
GET /nodes/{node}/tasks/{upid}/status all @node node:string/pve-node upid:string
GET /nodes/{node}/tasks/{upid}/log all @node
	download?:boolean limit?:integer>0 node:string/pve-node start?:integer>0 upid:string
GET /nodes/{node}/storage all @node
	content?:string/pve-storage-content-list enabled?:boolean format?:boolean node:string/pve-node
	storage?:string/pve-storage-id target?:string/pve-node
GET /nodes/{node}/storage/{storage}/status /storage/{storage},Datastore.Audit|Datastore.AllocateSpace @node
	node:string/pve-node storage:string/pve-storage-id
GET /storage all
	9!type?:string=btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
	8!type?:string=btrfs|cephfs|cifs|dir|esxi|glusterfs|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
GET /storage/{storage} /storage/{storage},Datastore.Allocate storage:string/pve-storage-id
`

const guestFacts = `
GET /nodes/{node}/qemu all @node full?:boolean node:string/pve-node
GET /nodes/{node}/qemu/{vmid}/config /vms/{vmid},VM.Audit @node
	current?:boolean node:string/pve-node snapshot?:string/pve-configid#40 vmid:integer/pve-vmid>100<999999999
GET /nodes/{node}/qemu/{vmid}/status/current /vms/{vmid},VM.Audit @node
	node:string/pve-node vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/qemu/{vmid}/status/start /vms/{vmid},VM.PowerMgmt @node
	force-cpu?:string machine?:string/pve-qm-machine migratedfrom?:string/pve-node
	migration_network?:string/CIDR migration_type?:string=secure|insecure
	nets-host-mtu?:string~net\d+=\d+(,net\d+=\d+)* node:string/pve-node skiplock?:boolean stateuri?:string#128
	targetstorage?:string/storage-pair-list timeout?:integer>0 vmid:integer/pve-vmid>100<999999999
	9!with-conntrack-state?:boolean
POST /nodes/{node}/qemu/{vmid}/status/stop /vms/{vmid},VM.PowerMgmt @node
	keepActive?:boolean migratedfrom?:string/pve-node node:string/pve-node overrule-shutdown?:boolean
	skiplock?:boolean timeout?:integer>0 vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/qemu/{vmid}/status/shutdown /vms/{vmid},VM.PowerMgmt @node
	forceStop?:boolean keepActive?:boolean node:string/pve-node skiplock?:boolean timeout?:integer>0
	vmid:integer/pve-vmid>100<999999999
GET /nodes/{node}/qemu/{vmid}/migrate /vms/{vmid},VM.Migrate @node
	node:string/pve-node target?:string/pve-node vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/qemu/{vmid}/migrate /vms/{vmid},VM.Migrate @node
	bwlimit?:integer>0 force?:boolean migration_network?:string/CIDR migration_type?:string=secure|insecure
	node:string/pve-node online?:boolean target:string/pve-node targetstorage?:string/storage-pair-list
	vmid:integer/pve-vmid>100<999999999 9!with-conntrack-state?:boolean with-local-disks?:boolean
GET /nodes/{node}/lxc all @node node:string/pve-node
GET /nodes/{node}/lxc/{vmid}/config /vms/{vmid},VM.Audit @node
	current?:boolean node:string/pve-node snapshot?:string/pve-configid#40 vmid:integer/pve-vmid>100<999999999
GET /nodes/{node}/lxc/{vmid}/status/current /vms/{vmid},VM.Audit @node
	node:string/pve-node vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/lxc/{vmid}/status/start /vms/{vmid},VM.PowerMgmt @node
	debug?:boolean node:string/pve-node skiplock?:boolean vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/lxc/{vmid}/status/stop /vms/{vmid},VM.PowerMgmt @node
	node:string/pve-node overrule-shutdown?:boolean skiplock?:boolean vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/lxc/{vmid}/status/shutdown /vms/{vmid},VM.PowerMgmt @node
	forceStop?:boolean node:string/pve-node timeout?:integer>0 vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/lxc/{vmid}/migrate /vms/{vmid},VM.Migrate @node
	bwlimit?:number>0 node:string/pve-node online?:boolean restart?:boolean target:string/pve-node
	target-storage?:string/storage-pair-list timeout?:integer vmid:integer/pve-vmid>100<999999999
`

const cephFacts = `
GET /cluster/ceph/status /,Sys.Audit|Datastore.Audit
GET /cluster/ceph/metadata /,Sys.Audit|Datastore.Audit scope?:string=all|versions
GET /cluster/ceph/flags /,Sys.Audit
GET /nodes/{node}/ceph/status /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/osd /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/osd/{osdid}/metadata /,Sys.Audit @node node:string/pve-node osdid:integer
GET /nodes/{node}/ceph/mon /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/mgr /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/mds /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/pool /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/pool/{name}/status /,Sys.Audit|Datastore.Audit @node
	name:string node:string/pve-node verbose?:boolean
GET /nodes/{node}/ceph/fs /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/rules /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/cfg/db /,Sys.Audit|Datastore.Audit @node node:string/pve-node
`

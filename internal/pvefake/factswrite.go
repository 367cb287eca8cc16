package pvefake

// accessWriteFacts are the methods that change users, roles, rights and tokens.
const accessWriteFacts = `
PUT /access/acl perm-modify,{path}
	delete?:boolean groups?:string/pve-groupid-list path:string propagate?:boolean roles:string/pve-roleid-list
	tokens?:string/pve-tokenid-list users?:string/pve-userid-list
PUT /access/password userid-param,self||userid-param,Realm.AllocateUser&&userid-group,User.Modify @notoken
	confirmation-password?:string%5#64 password:string%8#64 userid:string/pve-userid#64
POST /access/roles /access,Sys.Modify privs?:string/pve-priv-list roleid:string/pve-roleid
GET /access/roles/{roleid} all roleid:string/pve-roleid
PUT /access/roles/{roleid} /access,Sys.Modify
	append?:boolean&privs privs?:string/pve-priv-list roleid:string/pve-roleid
DELETE /access/roles/{roleid} /access,Sys.Modify roleid:string/pve-roleid
POST /access/users userid-param,Realm.AllocateUser&&userid-group,User.Modify
	comment?:string#2048 email?:string/email-opt#254 enable?:boolean expire?:integer>0 firstname?:string#1024
	groups?:string/pve-groupid-list keys?:string~[0-9a-zA-Z!=]{0,4096} lastname?:string#1024 password?:string%8#64
	userid:string/pve-userid#64
GET /access/users/{userid} userid-group,User.Modify|Sys.Audit userid:string/pve-userid#64
PUT /access/users/{userid} userid-group,User.Modify
	append?:boolean&groups comment?:string#2048 email?:string/email-opt#254 enable?:boolean expire?:integer>0
	firstname?:string#1024 groups?:string/pve-groupid-list keys?:string~[0-9a-zA-Z!=]{0,4096} lastname?:string#1024
	userid:string/pve-userid#64
DELETE /access/users/{userid} userid-param,Realm.AllocateUser&&userid-group,User.Modify userid:string/pve-userid#64
GET /access/users/{userid}/token userid-param,self||userid-group,User.Modify userid:string/pve-userid#64
GET /access/users/{userid}/token/{tokenid} userid-param,self||userid-group,User.Modify
	tokenid:string~(?:[A-Za-z][A-Za-z0-9\.\-_]+) userid:string/pve-userid#64
POST /access/users/{userid}/token/{tokenid} userid-param,self||userid-group,User.Modify
	comment?:string expire?:integer>0 privsep?:boolean tokenid:string~(?:[A-Za-z][A-Za-z0-9\.\-_]+)
	userid:string/pve-userid#64
PUT /access/users/{userid}/token/{tokenid} userid-param,self||userid-group,User.Modify
	comment?:string 9!delete?:string/pve-configid-list expire?:integer>0 privsep?:boolean 9!regenerate?:boolean
	tokenid:string~(?:[A-Za-z][A-Za-z0-9\.\-_]+) userid:string/pve-userid#64
DELETE /access/users/{userid}/token/{tokenid} userid-param,self||userid-group,User.Modify
	tokenid:string~(?:[A-Za-z][A-Za-z0-9\.\-_]+) userid:string/pve-userid#64
`

// clusterWriteFacts are the methods that change the cluster, its options, rules and jobs.
const clusterWriteFacts = `
GET /cluster/config /,Sys.Audit
POST /cluster/config root
	clustername:string/pve-node#15 link[n]?:string/corosync-link nodeid?:integer>1 9!token-coefficient?:integer>0
	votes?:integer>1
POST /cluster/config/join root
	fingerprint:string~([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2} force?:boolean hostname:string
	link[n]?:string/corosync-link nodeid?:integer>1 password:string#128 votes?:integer>0
POST /cluster/config/nodes/{node} root
	apiversion?:integer force?:boolean link[n]?:string/corosync-link new_node_ip?:string/ip node:string/pve-node
	nodeid?:integer>1 votes?:integer>0
DELETE /cluster/config/nodes/{node} root node:string/pve-node
PUT /cluster/options /,Sys.Modify
	bwlimit?:string/bwlimit consent-text?:string#65536 console?:string=applet|vv|html5|xtermjs crs?:string/dc-crs
	delete?:string/pve-configid-list description?:string#65536 email_from?:string/email-opt
	fencing?:string=watchdog|hardware|both ha?:string/dc-ha http_proxy?:string~http://.*
	keyboard?:string=de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr
	language?:string=ar|ca|da|de|en|es|eu|fa|fr|hr|he|it|ja|ka|kr|nb|nl|nn|pl|pt_BR|ru|sl|sv|tr|ukr|zh_CN|zh_TW
	9!location?:string/pve-node-location mac_prefix?:string/mac-prefix max_workers?:integer>1
	migration?:string/dc-migration migration_unsecure?:boolean next-id?:string/dc-next-id notify?:string/dc-notify
	registered-tags?:string~(?:(?i:[a-z0-9_][a-z0-9_\-\+\.]*);)*(?i:[a-z0-9_][a-z0-9_\-\+\.]*)
	9!replication?:string/dc-replication tag-style?:string/dc-tag-style u2f?:string/dc-u2f user-tag-access?:string/dc-user-tags
	webauthn?:string/dc-webauthn
POST /cluster/ha/rules /,Sys.Console @9 rule:string/pve-configid type:string=node-affinity|resource-affinity
	node-affinity@comment?:string#4096 node-affinity@disable?:boolean node-affinity@nodes:string/pve-ha-node-list
	node-affinity@resources:string/pve-ha-resource-id-list node-affinity@strict?:boolean
	resource-affinity@affinity:string=positive|negative resource-affinity@comment?:string#4096
	resource-affinity@disable?:boolean resource-affinity@resources:string/pve-ha-resource-id-list
PUT /cluster/ha/rules/{rule} /,Sys.Console @9
	delete?:string/pve-configid-list#4096 digest?:string#64 rule:string/pve-configid
	type:string=node-affinity|resource-affinity
	node-affinity@comment?:string#4096 node-affinity@disable?:boolean node-affinity@nodes?:string/pve-ha-node-list
	node-affinity@resources?:string/pve-ha-resource-id-list node-affinity@strict?:boolean
	resource-affinity@affinity?:string=positive|negative resource-affinity@comment?:string#4096
	resource-affinity@disable?:boolean resource-affinity@resources?:string/pve-ha-resource-id-list
POST /cluster/backup /,Sys.Modify
	all?:boolean bwlimit?:integer>0 comment?:string#512 compress?:string=0|1|gzip|lzo|zstd
	dow?:string/pve-day-of-week-list&starttime dumpdir?:string enabled?:boolean exclude?:string/pve-vmid-list
	exclude-path?:array fleecing?:string/backup-fleecing id?:string/pve-configid ionice?:integer>0<8
	lockwait?:integer>0 mailnotification?:string=always|failure mailto?:string/email-or-username-list
	8!maxfiles?:integer>1 mode?:string=snapshot|suspend|stop node?:string/pve-node
	notes-template?:string#1024&storage notification-mode?:string=auto|legacy-sendmail|notification-system
	8!notification-policy?:string=always|failure|never 8!notification-target?:string/pve-configid
	pbs-change-detection-mode?:string=legacy|data|metadata performance?:string/backup-performance pigz?:integer
	pool?:string protected?:boolean&storage prune-backups?:string/prune-backups quiet?:boolean remove?:boolean
	repeat-missed?:boolean schedule?:string/pve-calendar-event#128 script?:string starttime?:string~\d{1,2}:\d{1,2}
	stdexcludes?:boolean stop?:boolean stopwait?:integer>0 storage?:string/pve-storage-id tmpdir?:string
	vmid?:string/pve-vmid-list zstd?:integer
PUT /cluster/backup/{id} /,Sys.Modify
	all?:boolean bwlimit?:integer>0 comment?:string#512 compress?:string=0|1|gzip|lzo|zstd
	delete?:string/pve-configid-list dow?:string/pve-day-of-week-list&starttime dumpdir?:string enabled?:boolean
	exclude?:string/pve-vmid-list exclude-path?:array fleecing?:string/backup-fleecing id:string#50~\S+
	ionice?:integer>0<8 lockwait?:integer>0 mailnotification?:string=always|failure
	mailto?:string/email-or-username-list 8!maxfiles?:integer>1 mode?:string=snapshot|suspend|stop
	node?:string/pve-node notes-template?:string#1024&storage
	notification-mode?:string=auto|legacy-sendmail|notification-system
	8!notification-policy?:string=always|failure|never 8!notification-target?:string/pve-configid
	pbs-change-detection-mode?:string=legacy|data|metadata performance?:string/backup-performance pigz?:integer
	pool?:string protected?:boolean&storage prune-backups?:string/prune-backups quiet?:boolean remove?:boolean
	repeat-missed?:boolean schedule?:string/pve-calendar-event#128 script?:string starttime?:string~\d{1,2}:\d{1,2}
	stdexcludes?:boolean stop?:boolean stopwait?:integer>0 storage?:string/pve-storage-id tmpdir?:string
	vmid?:string/pve-vmid-list zstd?:integer
DELETE /cluster/backup/{id} /,Sys.Modify id:string#50~\S+
GET /cluster/jobs/schedule-analyze all
	iterations?:integer>1<100 schedule:string/pve-calendar-event#128 starttime?:integer
`

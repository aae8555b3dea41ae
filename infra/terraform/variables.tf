variable "name" {
  description = "Name of the deployment: everything in AWS begins with it. 3 to 20 lower-case letters, digits and dashes."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name has 3 to 20 lower-case letters, digits and single dashes, and begins with a letter."
  }
}

variable "release" {
  description = "Tag of the image in the deployment's repository; never latest, which would make roll-backs a guess."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.release)) && var.release != "latest"
    error_message = "release is a tag of an image other than latest."
  }
}

variable "secrets" {
  description = <<-EOT
    What is secret: the two keys that `sponge keys` prints, the secret one of `sponge audit key`, and passwords of letters and digits. They are needed for each
    plan and apply, but go to Secrets Manager and to the services only when secrets_version or keys_version changes; no
    plan and no state holds them.
  EOT
  sensitive   = true
  ephemeral   = true

  type = object({
    worker_key     = string
    seal_key       = string
    audit_key      = string
    mysql_password = string
    redis_token    = string
    kafka_password = string
  })

  validation {
    condition     = alltrue([for key in [var.secrets.worker_key, var.secrets.seal_key, var.secrets.audit_key] : can(regex("^[A-Za-z0-9+/]{43}=$", key))])
    error_message = "secrets: worker_key, seal_key and audit_key are 32 bytes in base64, as `sponge keys` and `sponge audit key` print them."
  }

  validation {
    condition     = length(distinct([var.secrets.worker_key, var.secrets.seal_key, var.secrets.audit_key])) == 3
    error_message = "secrets: the keys differ: who has one must not have another."
  }

  validation {
    condition     = alltrue([for p in [var.secrets.mysql_password, var.secrets.redis_token, var.secrets.kafka_password] : can(regex("^[A-Za-z0-9]{24,41}$", p))])
    error_message = "secrets: mysql_password, redis_token and kafka_password have 24 to 41 letters and digits (they stand in URLs)."
  }
}

variable "secrets_version" {
  description = "Number to raise when passwords change: the services and the secrets get the new ones, and tasks start anew."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version is a whole number from 1."
  }
}

variable "keys_version" {
  description = "The same for worker key, seal key and audit key. A new worker key ends every session; the old one is needed to replay the log."
  type        = number
  default     = 1

  validation {
    condition     = var.keys_version >= 1 && floor(var.keys_version) == var.keys_version
    error_message = "keys_version is a whole number from 1."
  }
}

variable "namespace" {
  description = "Prefix of every topic and Redis key (SPONGE_NAMESPACE)."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[a-z0-9._-]{0,32}$", var.namespace))
    error_message = "namespace has up to 32 lower-case letters, digits, dots, dashes and underscores."
  }
}

variable "partitions" {
  description = "Partitions of sponge.storage and of the other topics, when `sponge migrate` makes them. They bound how many workers a group can have, and are never changed later, since they decide where a conversation goes."
  type        = object({ storage = number, other = number })
  default     = { storage = 64, other = 16 }

  validation {
    condition     = alltrue([for n in [var.partitions.storage, var.partitions.other] : n >= 1 && n <= 1000 && floor(n) == n])
    error_message = "partitions are whole numbers from 1 to 1000."
  }
}

variable "network" {
  description = <<-EOT
    The VPC: a /16; the names of two or three zones, whose order decides their addresses; nat none, single or per_zone; private_tasks false runs tasks in public subnets without
    endpoints or NAT, which is cheaper; flow_log_traffic ALL, ACCEPT or REJECT.
  EOT

  type = object({
    cidr             = optional(string, "10.64.0.0/16")
    zones            = list(string)
    nat              = optional(string, "none")
    private_tasks    = optional(bool, true)
    flow_log_traffic = optional(string, "REJECT")
  })

  validation {
    condition     = can(cidrhost(var.network.cidr, 0)) && endswith(var.network.cidr, "/16")
    error_message = "network: cidr is an IPv4 range with a /16 mask."
  }

  validation {
    condition     = contains([2, 3], length(var.network.zones)) && length(distinct(var.network.zones)) == length(var.network.zones)
    error_message = "network: zones are two or three different ones."
  }

  validation {
    condition     = contains(["none", "single", "per_zone"], var.network.nat)
    error_message = "network: nat is none, single or per_zone."
  }

  validation {
    condition     = contains(["ALL", "ACCEPT", "REJECT"], var.network.flow_log_traffic)
    error_message = "network: flow_log_traffic is ALL, ACCEPT or REJECT."
  }
}

variable "endpoint" {
  description = <<-EOT
    What clients connect to. With domain and zone_id (Route 53) a certificate and a record are made; otherwise
    certificate_arn names a certificate in ACM. plain_tcp opens port 8000 without TLS: names, messages and passwords can
    be read on the way.
  EOT

  type = object({
    domain          = optional(string)
    zone_id         = optional(string)
    certificate_arn = optional(string)
    plain_tcp       = optional(bool, false)
    internal        = optional(bool, false)
    client_cidrs    = optional(list(string), ["0.0.0.0/0"])
  })

  validation {
    condition     = var.endpoint.certificate_arn != null || (var.endpoint.domain != null && var.endpoint.zone_id != null)
    error_message = "endpoint: either certificate_arn, or domain and zone_id to have a certificate made."
  }

  validation {
    condition     = var.endpoint.zone_id == null || var.endpoint.domain != null
    error_message = "endpoint: zone_id needs a domain."
  }

  validation {
    condition     = length(var.endpoint.client_cidrs) > 0 && alltrue([for cidr in var.endpoint.client_cidrs : can(cidrhost(cidr, 0))])
    error_message = "endpoint: client_cidrs are IPv4 ranges."
  }
}

variable "cpu_architecture" {
  description = "Processors of tasks and functions, which the image must fit: ARM64 (cheaper) or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture is ARM64 or X86_64."
  }
}

variable "edge" {
  description = <<-EOT
    Edges: size, how many, connections and CPU (per cent) that autoscaling aims at, most connections of one (0: no limit),
    seconds that a stopping edge waits for outstanding answers (5 to 100) and that the balancer is given before (0 to
    3600), FARGATE or FARGATE_SPOT, and variables of its own.
  EOT
  default     = {}

  type = object({
    cpu                  = optional(number, 1024)
    memory               = optional(number, 4096)
    min                  = optional(number, 3)
    max                  = optional(number, 30)
    connections_target   = optional(number, 20000)
    max_connections      = optional(number, 0)
    cpu_target           = optional(number, 55)
    drain_timeout        = optional(number, 15)
    deregistration_delay = optional(number, 60)
    capacity_provider    = optional(string, "FARGATE")
    environment          = optional(map(string), {})
  })

  validation {
    condition     = var.edge.min >= 1 && var.edge.max >= var.edge.min
    error_message = "edge: min is at least 1, max at least min."
  }

  validation {
    condition     = var.edge.drain_timeout >= 5 && var.edge.drain_timeout <= 100
    error_message = "edge: drain_timeout is from 5 to 100 seconds; Fargate kills after 120."
  }

  validation {
    condition     = var.edge.deregistration_delay >= 0 && var.edge.deregistration_delay <= 3600
    error_message = "edge: deregistration_delay is from 0 to 3600."
  }

  validation {
    condition     = var.edge.max_connections == 0 || var.edge.max_connections > var.edge.connections_target
    error_message = "edge: max_connections is 0 or above connections_target, or edges would be full before there are more."
  }

  validation {
    condition     = var.edge.connections_target >= 100 && var.edge.cpu_target >= 10 && var.edge.cpu_target <= 90
    error_message = "edge: connections_target is at least 100, cpu_target from 10 to 90."
  }

  validation {
    condition     = contains(["FARGATE", "FARGATE_SPOT"], var.edge.capacity_provider)
    error_message = "edge: capacity_provider is FARGATE or FARGATE_SPOT."
  }
}

variable "workers_runtime" {
  description = "What runs the handler groups: ecs, services of Fargate; or lambda, functions that MSK feeds."
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "lambda"], var.workers_runtime)
    error_message = "workers_runtime is ecs or lambda."
  }

  validation {
    condition     = var.workers_runtime == "ecs" || var.queue.kind == "msk"
    error_message = "workers_runtime lambda needs queue.kind msk: event source mappings here read from MSK."
  }
}

variable "workers" {
  description = "Services of workers, for ecs: by name, the handler groups of each, its size, how many, and variables of its own. Every group belongs to one."

  type = map(object({
    groups      = list(string)
    cpu         = optional(number, 1024)
    memory      = optional(number, 2048)
    min         = optional(number, 2)
    max         = optional(number, 8)
    environment = optional(map(string), {})
  }))

  default = {
    login   = { groups = ["login"] }
    friend  = { groups = ["friend"] }
    group   = { groups = ["group"] }
    storage = { groups = ["storage"], max = 32 }
  }

  validation {
    condition     = sort(flatten([for service in values(var.workers) : service.groups])) == sort(["login", "friend", "group", "storage"])
    error_message = "workers: login, friend, group and storage each belong to exactly one service."
  }

  validation {
    condition     = alltrue([for service in values(var.workers) : service.min >= 1 && service.max >= service.min])
    error_message = "workers: min is at least 1, max at least min."
  }

  validation {
    condition     = alltrue([for service in values(var.workers) : service.max <= (contains(service.groups, "storage") ? var.partitions.storage : var.partitions.other)])
    error_message = "workers: max is at most the number of partitions; more would have nothing to do."
  }
}

variable "workers_capacity_provider" {
  description = "FARGATE, or FARGATE_SPOT: a third of the price, taken back with two minutes' notice."
  type        = string
  default     = "FARGATE"

  validation {
    condition     = contains(["FARGATE", "FARGATE_SPOT"], var.workers_capacity_provider)
    error_message = "workers_capacity_provider is FARGATE or FARGATE_SPOT."
  }
}

variable "workers_age_out" {
  description = "Seconds that the oldest record of a group may wait before it gets more workers: above 0.5, below the 8 of the alarm."
  type        = number
  default     = 2

  validation {
    condition     = var.workers_age_out > 0.5 && var.workers_age_out < 8
    error_message = "workers_age_out is above 0.5 and below 8."
  }
}

variable "functions" {
  description = "For lambda: memory of a function in MiB, seconds that a batch may take, most records of a batch, and pollers of each mapping."
  default     = {}

  type = object({
    memory      = optional(number, 1769)
    timeout     = optional(number, 30)
    batch_size  = optional(number, 500)
    pollers_min = optional(number, 1)
    pollers_max = optional(number, 4)
  })

  validation {
    condition     = var.functions.memory >= 256 && var.functions.memory <= 10240
    error_message = "functions: memory is from 256 to 10240."
  }

  validation {
    condition     = var.functions.timeout >= 5 && var.functions.timeout <= 900
    error_message = "functions: timeout is from 5 to 900."
  }

  validation {
    condition     = var.functions.batch_size >= 1 && var.functions.batch_size <= 5000
    error_message = "functions: batch_size is from 1 to 5000."
  }

  validation {
    condition     = var.functions.pollers_min >= 1 && var.functions.pollers_min <= 200 && var.functions.pollers_max >= var.functions.pollers_min && var.functions.pollers_max <= 2000
    error_message = "functions: pollers_min is from 1 to 200, pollers_max from pollers_min to 2000."
  }
}

variable "queue" {
  description = <<-EOT
    Kafka. kind msk: a cluster over the zones (brokers: a multiple of their number), TLS and SCRAM. kind broker: a single
    broker on one ARM instance, unencrypted within the VPC, for small deployments. Disks are those of each broker.
  EOT

  type = object({
    kind            = string
    instance_type   = string
    brokers         = optional(number, 3)
    msk_version     = optional(string, "4.1.x.kraft")
    kafka_version   = optional(string, "4.1.1")
    storage_gib     = optional(number, 20)
    storage_max_gib = optional(number, 4000)
  })

  validation {
    condition     = contains(["msk", "broker"], var.queue.kind)
    error_message = "queue: kind is msk or broker."
  }

  validation {
    condition     = (var.queue.kind == "msk") == startswith(var.queue.instance_type, "kafka.")
    error_message = "queue: instance_type begins with kafka. for msk, and only then."
  }

  validation {
    condition     = var.queue.kind != "msk" || (var.queue.brokers >= 2 && var.queue.brokers % length(var.network.zones) == 0)
    error_message = "queue: brokers is a multiple of the number of zones."
  }

  validation {
    condition     = var.queue.storage_gib >= 5 && var.queue.storage_max_gib >= var.queue.storage_gib && var.queue.storage_max_gib <= 16384
    error_message = "queue: storage_gib is at least 5, storage_max_gib from storage_gib to 16384."
  }
}

variable "store" {
  description = <<-EOT
    MySQL. engine aurora-mysql (a cluster; instances from 2 on fail over) or mysql (a single instance; multi_az gives it a
    standby). tls is the DSN's: true needs an image that trusts the certificate authorities of RDS; skip-verify encrypts
    without asking who answers.
  EOT

  type = object({
    engine                = optional(string, "aurora-mysql")
    engine_version        = optional(string, "8.0.mysql_aurora.3.10.1")
    instance_class        = string
    instances             = optional(number, 2)
    serverless_capacity   = optional(object({ min = number, max = number }), { min = 0.5, max = 8 })
    storage_gib           = optional(number, 20)
    storage_max_gib       = optional(number, 200)
    multi_az              = optional(bool, false)
    backup_retention_days = optional(number, 14)
    tls                   = optional(string, "true")
  })

  validation {
    condition     = contains(["aurora-mysql", "mysql"], var.store.engine)
    error_message = "store: engine is aurora-mysql or mysql."
  }

  validation {
    condition     = var.store.engine == "mysql" ? startswith(var.store.engine_version, "8.4") : startswith(var.store.engine_version, "8.0.mysql_aurora.3.")
    error_message = "store: engine_version is 8.0.mysql_aurora.3.x for aurora-mysql, 8.4 or 8.4.x for mysql."
  }

  validation {
    condition     = startswith(var.store.instance_class, "db.")
    error_message = "store: instance_class begins with db."
  }

  validation {
    condition     = var.store.instances >= 1 && var.store.instances <= 16
    error_message = "store: instances is from 1 to 16."
  }

  validation {
    condition     = var.store.backup_retention_days >= 1 && var.store.backup_retention_days <= 35
    error_message = "store: backup_retention_days is from 1 to 35."
  }

  validation {
    condition     = contains(["true", "skip-verify"], var.store.tls)
    error_message = "store: tls is true or skip-verify."
  }
}

variable "channels" {
  description = "Valkey: type of node, replicas in other zones (0 to 5), version."

  type = object({
    node_type      = string
    replicas       = optional(number, 1)
    engine_version = optional(string, "8.1")
  })

  validation {
    condition     = startswith(var.channels.node_type, "cache.")
    error_message = "channels: node_type begins with cache."
  }

  validation {
    condition     = var.channels.replicas >= 0 && var.channels.replicas <= 5
    error_message = "channels: replicas is from 0 to 5."
  }

  validation {
    condition     = can(regex("^8\\.[0-9]+$", var.channels.engine_version))
    error_message = "channels: engine_version is one of Valkey 8."
  }
}

variable "archive" {
  description = "The audit archive: when it is written, how long objects are locked, and whether anybody can unlock them (GOVERNANCE) or nobody (COMPLIANCE, for good)."
  default     = {}

  type = object({
    schedule       = optional(string, "rate(1 hour)")
    lock_mode      = optional(string, "GOVERNANCE")
    retention_days = optional(number, 365)
  })

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.archive.schedule))
    error_message = "archive: schedule is rate(...) or cron(...)."
  }

  validation {
    condition     = contains(["COMPLIANCE", "GOVERNANCE"], var.archive.lock_mode)
    error_message = "archive: lock_mode is COMPLIANCE or GOVERNANCE."
  }

  validation {
    condition     = var.archive.retention_days >= 1 && var.archive.retention_days <= 36500
    error_message = "archive: retention_days is from 1 to 36500."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms are sent to."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for e in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", e))])
    error_message = "alarm_emails are mail addresses."
  }
}

variable "monthly_budget" {
  description = "US dollars a month whose forecast is mailed to alarm_emails when it is exceeded; null for none."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget == null ? true : var.monthly_budget > 0 && length(var.alarm_emails) > 0
    error_message = "monthly_budget is above 0 and needs alarm_emails."
  }
}

variable "log_level" {
  description = "DEBUG, INFO, WARN or ERROR."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARN", "ERROR"], var.log_level)
    error_message = "log_level is DEBUG, INFO, WARN or ERROR."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept, one that CloudWatch offers from a week on."
  type        = number
  default     = 365

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 and 3653."
  }
}

variable "container_insights" {
  description = "Whether CloudWatch keeps metrics of each task, at a price."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether database, load balancer and broker refuse to be deleted."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.tags), ["Application", "Deployment", "Name"])) == 0
    error_message = "tags: Application, Deployment and Name are set by the module."
  }
}

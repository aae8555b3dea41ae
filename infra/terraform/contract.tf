# What Terraform and the binary must agree on. contract_test.go holds every
# name in here against the binary: variables, ports' variables, topics, groups,
# the health path.

locals {
  groups = ["login", "friend", "group", "storage"]

  topics = {
    login   = "${var.namespace}sponge.login"
    friend  = "${var.namespace}sponge.friend"
    group   = "${var.namespace}sponge.group"
    storage = "${var.namespace}sponge.storage"
  }

  partitions = {
    login   = var.partitions.other
    friend  = var.partitions.other
    group   = var.partitions.other
    storage = var.partitions.storage
  }

  ports = {
    frames  = 8000 # the wire; also the balancer's, without TLS
    web     = 8080 # WebSockets, at /ws
    metrics = 9100 # metrics, health and profiles: never behind a listener
    tls     = 8443 # the balancer's: the wire over TLS
    wss     = 443  # the balancer's: WebSockets over TLS
    mysql   = 3306
    redis   = 6379
    kafka   = var.queue.kind == "msk" ? 9096 : 9092 # SCRAM over TLS, or plain
  }

  health_path = "/healthz"

  # What tasks and functions are given. Every name is one that `sponge env`
  # prints.
  environment = {
    common = {
      SPONGE_KAFKA     = local.bootstrap_brokers
      SPONGE_NAMESPACE = var.namespace
    }
    telemetry = {
      SPONGE_LOG_FORMAT     = "json"
      SPONGE_LOG_LEVEL      = var.log_level
      SPONGE_METRICS_LISTEN = ":${local.ports.metrics}"
    }
    edge = {
      SPONGE_EDGE_LISTEN          = ":${local.ports.frames}"
      SPONGE_EDGE_WEB_LISTEN      = ":${local.ports.web}"
      SPONGE_EDGE_DRAIN_TIMEOUT   = "${var.edge.drain_timeout}s"
      SPONGE_EDGE_MAX_CONNECTIONS = tostring(var.edge.max_connections)
    }
    worker = {}
    migrate = {
      SPONGE_PARTITIONS         = tostring(var.partitions.other)
      SPONGE_PARTITIONS_STORAGE = tostring(var.partitions.storage)
      SPONGE_MIGRATE_WAIT       = "110s" # the container before a worker has 120
      SPONGE_LOG_FORMAT         = "json"
      SPONGE_LOG_LEVEL          = var.log_level
    }
    audit = {
      SPONGE_AUDIT_S3_ENDPOINT = "https://s3.${data.aws_region.this.region}.amazonaws.com" # by the VPC's own gateway
      SPONGE_AUDIT_S3_REGION   = data.aws_region.this.region
      SPONGE_LOG_FORMAT        = "json"
      SPONGE_LOG_LEVEL         = var.log_level
    }
  }

  # The same for secrets: variable => secret.
  secrets = {
    edge = {
      SPONGE_REDIS    = module.secrets.arns["redis"]
      SPONGE_SEAL_KEY = module.secrets.arns["seal-key"]
    }
    worker = {
      SPONGE_REDIS      = module.secrets.arns["redis"]
      SPONGE_MYSQL      = module.secrets.arns["mysql"]
      SPONGE_WORKER_KEY = module.secrets.arns["worker-key"]
    }
    migrate = {
      SPONGE_MYSQL = module.secrets.arns["mysql"]
    }
    audit = {
      SPONGE_AUDIT_KEY = module.secrets.arns["audit-key"]
    }
  }

  # PENDING: what the binary does not know yet. contract_test.go fails as soon
  # as it knows one of these variables, so that it moves up. Until then, tasks
  # that need it do not work: with MSK, no role can log in to Kafka.
  pending = {
    # Kafka over TLS, with SCRAM-SHA-512. A single broker needs none of it.
    kafka = var.queue.kind != "msk" ? {} : {
      SPONGE_KAFKA_TLS  = "true"
      SPONGE_KAFKA_SASL = "scram-sha-512"
    }
    kafka_secrets = local.kafka_secrets

    # Metrics in CloudWatch's embedded format, on standard output each minute:
    # this namespace, and the dimension Cluster (and Group, for ages).
    metrics = {
      SPONGE_EMF_NAMESPACE = local.metrics.namespace
      SPONGE_EMF_CLUSTER   = var.name
    }

    # Lambda puts no secrets into variables: the function reads them when it
    # starts. A JSON object, variable => ARN or ARN:KEY::.
    function_secrets = {
      SPONGE_SECRETS = jsonencode(merge(local.secrets.worker, local.kafka_secrets))
    }
    migrate_function_secrets = {
      SPONGE_SECRETS = jsonencode(merge(local.secrets.migrate, local.kafka_secrets))
    }
  }
  kafka_secrets = var.queue.kind != "msk" ? {} : {
    SPONGE_KAFKA_USER     = "${module.secrets.arns["kafka"]}:username::"
    SPONGE_KAFKA_PASSWORD = "${module.secrets.arns["kafka"]}:password::"
  }

  # It asks the metrics port and exits with 0 or 1.
  health_command = ["/sponge", "health"]

  # PENDING, too: `sponge function GROUP|migrate` serves Lambda's runtime API;
  # and these metrics, published as above.
  metrics = {
    namespace   = "Sponge"
    connections = "Connections"        # edges: open connections of this one (Cluster)
    age         = "OldestUnhandledAge" # workers: seconds (Cluster, Group)
    stopped     = "PartitionsStopped"  # workers (Cluster)
    dead        = "DeadFrames"         # workers: since the last time (Cluster)
    archive_age = "ArchiveAge"         # archive: seconds, at the end of a run (Cluster)
  }
}

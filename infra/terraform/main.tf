# Sponge on AWS. What each part is for stands in its module; this file only
# connects them. Sizes are variables: examples/ has two sets.

data "aws_region" "this" {}

locals {
  ecs_workers = var.workers_runtime == "ecs"

  # In a VPC without NAT and endpoints, tasks run in public subnets with public
  # addresses; nobody can connect to them but the balancer.
  task_subnet_ids = var.network.private_tasks ? module.network.private_subnet_ids : module.network.public_subnet_ids

  image = "${module.registry.repository_url}:${var.release}"

  secrets_version = "${var.keys_version}.${var.secrets_version}"

  bootstrap_brokers = var.queue.kind == "msk" ? module.queue[0].bootstrap_brokers : module.broker[0].bootstrap_brokers

  clients = {
    edge    = module.network.security_group_ids["edge"]
    workers = module.network.security_group_ids["workers"]
    audit   = module.network.security_group_ids["audit"]
  }

  tags = merge(var.tags, { Application = "sponge", Deployment = var.name })
}

module "encryption" {
  source = "./modules/encryption"

  name = var.name
  tags = local.tags
}

module "network" {
  source = "./modules/network"

  name  = var.name
  cidr  = var.network.cidr
  zones = var.network.zones
  nat   = var.network.nat

  endpoints = !var.network.private_tasks || var.network.nat != "none" ? [] : concat(
    ["ecr.api", "ecr.dkr", "logs", "secretsmanager"],
    local.ecs_workers ? [] : ["lambda", "sts"], # the pollers'
  )

  # An edge knows no database, and the archive only the queue.
  inner_ports = {
    edge    = { kafka = local.ports.kafka, redis = local.ports.redis }
    workers = { kafka = local.ports.kafka, mysql = local.ports.mysql, redis = local.ports.redis }
    audit   = { kafka = local.ports.kafka }
  }

  flow_log_traffic   = var.network.flow_log_traffic
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  tags               = local.tags
}

module "registry" {
  source = "./modules/registry"

  name        = var.name
  kms_key_arn = module.encryption.key_arn
  tags        = local.tags
}

module "queue" {
  source = "./modules/queue"
  count  = var.queue.kind == "msk" ? 1 : 0

  name                      = var.name
  kafka_version             = var.queue.msk_version
  brokers                   = var.queue.brokers
  instance_type             = var.queue.instance_type
  storage_gib               = var.queue.storage_gib
  storage_max_gib           = var.queue.storage_max_gib
  port                      = local.ports.kafka
  allow_pollers             = !local.ecs_workers
  credentials_secret_arn    = module.secrets.arns["kafka"]
  vpc_id                    = module.network.vpc_id
  vpc_cidr                  = module.network.cidr
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = local.clients
  log_retention_days        = var.log_retention_days
  kms_key_arn               = module.encryption.key_arn
  tags                      = local.tags
}

module "broker" {
  source = "./modules/broker"
  count  = var.queue.kind == "broker" ? 1 : 0

  name                      = var.name
  kafka_version             = var.queue.kafka_version
  instance_type             = var.queue.instance_type
  storage_gib               = var.queue.storage_gib
  port                      = local.ports.kafka
  private_ip                = cidrhost(cidrsubnet(var.network.cidr, 4, 0), 10) # in the first public subnet
  zone                      = module.network.zones[0]
  subnet_id                 = module.network.public_subnet_ids[0]
  vpc_id                    = module.network.vpc_id
  client_security_group_ids = local.clients
  deletion_protection       = var.deletion_protection
  kms_key_arn               = module.encryption.key_arn
  tags                      = local.tags
}

module "store" {
  source = "./modules/store"

  name                      = var.name
  engine                    = var.store.engine
  engine_version            = var.store.engine_version
  instance_class            = var.store.instance_class
  instances                 = var.store.instances
  serverless_capacity       = var.store.serverless_capacity
  storage_gib               = var.store.storage_gib
  storage_max_gib           = var.store.storage_max_gib
  multi_az                  = var.store.multi_az
  backup_retention_days     = var.store.backup_retention_days
  password                  = var.secrets.mysql_password
  password_version          = var.secrets_version
  port                      = local.ports.mysql
  deletion_protection       = var.deletion_protection
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = { workers = local.clients.workers } # never an edge
  kms_key_arn               = module.encryption.key_arn
  tags                      = local.tags
}

module "channels" {
  source = "./modules/channels"

  name                      = var.name
  engine_version            = var.channels.engine_version
  node_type                 = var.channels.node_type
  replicas                  = var.channels.replicas
  auth_token                = var.secrets.redis_token
  auth_token_version        = var.secrets_version
  port                      = local.ports.redis
  vpc_id                    = module.network.vpc_id
  subnet_ids                = module.network.private_subnet_ids
  client_security_group_ids = { edge = local.clients.edge, workers = local.clients.workers }
  log_retention_days        = var.log_retention_days
  kms_key_arn               = module.encryption.key_arn
  tags                      = local.tags
}

module "secrets" {
  source = "./modules/secrets"

  name           = var.name
  values         = var.secrets
  values_version = var.secrets_version
  keys_version   = var.keys_version
  mysql          = { host = module.store.host, port = local.ports.mysql, username = "sponge", database = "sponge", tls = var.store.tls }
  redis          = { host = module.channels.host, port = local.ports.redis }
  kafka_username = var.queue.kind == "msk" ? "sponge" : null
  kms_key_arn    = module.encryption.key_arn
  tags           = local.tags
}

# --- what runs

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:container_insights is a variable: metrics of each task cost more than a small deployment's tasks
  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = var.container_insights ? "enhanced" : "disabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

module "edge" {
  source = "./modules/edge"

  cluster              = var.name
  ecs_cluster_arn      = aws_ecs_cluster.this.arn
  ecs_cluster_name     = aws_ecs_cluster_capacity_providers.this.cluster_name
  image                = local.image
  health_command       = local.health_command
  health_path          = local.health_path
  ports                = { frames = local.ports.frames, web = local.ports.web, metrics = local.ports.metrics, tls = local.ports.tls, wss = local.ports.wss }
  metrics              = { namespace = local.metrics.namespace, connections = local.metrics.connections }
  cpu                  = var.edge.cpu
  memory               = var.edge.memory
  capacity_provider    = var.edge.capacity_provider
  cpu_architecture     = var.cpu_architecture
  count_min            = var.edge.min
  count_max            = var.edge.max
  connections_per_edge = var.edge.connections_target
  cpu_target           = var.edge.cpu_target
  drain_timeout        = var.edge.drain_timeout
  deregistration_delay = var.edge.deregistration_delay
  plain_tcp            = var.endpoint.plain_tcp
  client_cidrs         = var.endpoint.client_cidrs
  internal             = var.endpoint.internal
  domain               = var.endpoint.domain
  zone_id              = var.endpoint.zone_id
  certificate_arn      = var.endpoint.certificate_arn
  deletion_protection  = var.deletion_protection
  environment          = merge(local.environment.common, local.environment.telemetry, local.environment.edge, local.pending.kafka, local.pending.metrics, var.edge.environment)
  secrets              = merge(local.secrets.edge, local.pending.kafka_secrets)
  secrets_version      = local.secrets_version
  vpc_id               = module.network.vpc_id
  balancer_subnet_ids  = var.endpoint.internal ? module.network.private_subnet_ids : module.network.public_subnet_ids
  subnet_ids           = local.task_subnet_ids
  assign_public_ip     = !var.network.private_tasks
  security_group_id    = module.network.security_group_ids["edge"]
  repository_arn       = module.registry.repository_arn
  log_retention_days   = var.log_retention_days
  kms_key_arn          = module.encryption.key_arn
  tags                 = local.tags
}

module "workers" {
  source = "./modules/workers"
  count  = local.ecs_workers ? 1 : 0

  cluster            = var.name
  ecs_cluster_arn    = aws_ecs_cluster.this.arn
  ecs_cluster_name   = aws_ecs_cluster_capacity_providers.this.cluster_name
  services           = var.workers
  all_groups         = local.groups
  partitions         = local.partitions
  capacity_provider  = var.workers_capacity_provider
  cpu_architecture   = var.cpu_architecture
  age_out            = var.workers_age_out
  metrics            = { namespace = local.metrics.namespace, age = local.metrics.age }
  metrics_port       = local.ports.metrics
  health_command     = local.health_command
  image              = local.image
  environment        = merge(local.environment.common, local.environment.telemetry, local.environment.worker, local.pending.kafka, local.pending.metrics)
  secrets            = merge(local.secrets.worker, local.pending.kafka_secrets)
  secrets_version    = local.secrets_version
  migrate            = local.migrate
  subnet_ids         = local.task_subnet_ids
  assign_public_ip   = !var.network.private_tasks
  security_group_id  = module.network.security_group_ids["workers"]
  repository_arn     = module.registry.repository_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  tags               = local.tags
}

locals {
  migrate = {
    environment = merge(local.environment.common, local.environment.migrate, local.pending.kafka)
    secrets     = merge(local.secrets.migrate, local.pending.kafka_secrets)
  }
}

# For a migration that takes longer than the two minutes that a worker's start
# grants it, and for a look at what it says: the README has the command.
module "migrate" {
  source = "./modules/task"

  cluster            = var.name
  name               = "migrate"
  image              = local.image
  command            = ["migrate"]
  cpu                = 256
  memory             = 512
  cpu_architecture   = var.cpu_architecture
  environment        = merge(local.migrate.environment, { SPONGE_MIGRATE_WAIT = "6h" })
  secrets            = local.migrate.secrets
  secrets_version    = local.secrets_version
  repository_arn     = module.registry.repository_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  tags               = local.tags
}

module "functions" {
  source = "./modules/functions"
  count  = local.ecs_workers ? 0 : 1

  cluster             = var.name
  groups              = toset(local.groups)
  topics              = local.topics
  partitions          = local.partitions
  image               = local.image
  cpu_architecture    = var.cpu_architecture
  memory              = var.functions.memory
  timeout             = var.functions.timeout
  batch_size          = var.functions.batch_size
  pollers             = { min = var.functions.pollers_min, max = var.functions.pollers_max }
  environment         = merge(local.environment.common, { SPONGE_LOG_FORMAT = "json", SPONGE_LOG_LEVEL = var.log_level }, local.pending.kafka, local.pending.metrics, local.pending.function_secrets)
  migrate_environment = merge(local.migrate.environment, local.pending.migrate_function_secrets)
  secret_arns         = [for part, arn in module.secrets.arns : arn if !contains(["seal-key", "audit-key"], part)]
  secrets_version     = local.secrets_version
  kafka_cluster_arn   = one(module.queue[*].cluster_arn)
  kafka_secret_arn    = lookup(module.secrets.arns, "kafka", null)
  subnet_ids          = module.network.private_subnet_ids
  security_group_id   = module.network.security_group_ids["workers"]
  log_retention_days  = var.log_retention_days
  kms_key_arn         = module.encryption.key_arn
  tags                = local.tags
}

module "archive" {
  source = "./modules/archive"

  cluster            = var.name
  ecs_cluster_arn    = aws_ecs_cluster.this.arn
  ecs_cluster_name   = aws_ecs_cluster.this.name
  image              = local.image
  schedule           = var.archive.schedule
  lock_mode          = var.archive.lock_mode
  retention_days     = var.archive.retention_days
  cpu_architecture   = var.cpu_architecture
  environment        = merge(local.environment.common, local.environment.audit, local.pending.kafka, local.pending.metrics)
  secrets            = merge(local.secrets.audit, local.pending.kafka_secrets)
  secrets_version    = local.secrets_version
  subnet_ids         = local.task_subnet_ids
  assign_public_ip   = !var.network.private_tasks
  security_group_id  = module.network.security_group_ids["audit"]
  repository_arn     = module.registry.repository_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.encryption.key_arn
  tags               = local.tags
}

module "observability" {
  source = "./modules/observability"

  cluster            = var.name
  emails             = var.alarm_emails
  metrics            = local.metrics
  groups             = local.groups
  topics             = local.topics
  age_missing        = local.ecs_workers ? "breaching" : "notBreaching"
  balancer           = module.edge.metric_dimensions
  store_dimensions   = module.store.metric_dimensions
  channel_ids        = module.channels.member_ids
  kafka_kind         = var.queue.kind
  kafka_cluster_name = one(module.queue[*].cluster_name)
  kafka_instance_id  = one(module.broker[*].instance_id)
  schedule_group     = module.archive.schedule_group
  ecs_cluster_name   = aws_ecs_cluster.this.name
  service_names      = concat([module.edge.service_name], local.ecs_workers ? module.workers[0].service_names : [])
  function_names     = local.ecs_workers ? {} : module.functions[0].function_names
  kms_key_arn        = module.encryption.key_arn
  tags               = local.tags
}

resource "aws_budgets_budget" "this" {
  count = var.monthly_budget == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  # The tag Deployment must be activated for cost allocation once an account.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Deployment$%s", var.name)]
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    notification_type          = "FORECASTED"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.alarm_emails
  }
}

# Valkey: a stream for each edge, and who is online where. Nothing in it needs
# to survive (edges write theirs again), so there are no snapshots; but each
# failover has sessions synchronised, so there is a replica where it matters.

resource "aws_security_group" "this" {
  name        = "${var.name}-channels"
  description = "Valkey"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-channels" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Valkey over TLS, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_elasticache_parameter_group" "this" {
  name        = var.name
  family      = "valkey8"
  description = "What Sponge relies on"
  tags        = var.tags

  # An evicted stream or lease is a loss: its edge would synchronise its
  # sessions, over and over.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is a variable, a year by default; a small deployment keeps them for less
  name              = "/${var.name}/valkey"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_31:There is a token; checkov looks for auth_token, which the state would hold, not for auth_token_wo
  #checkov:skip=CKV2_AWS_50:Failover is on wherever there is a replica, which a small deployment does without
  replication_group_id = var.name
  description          = "Channels and presence of ${var.name}"
  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  port                 = var.port

  # One shard: a batch's results and its presence are written together. docs/
  # scaling.md says when that is outgrown.
  num_cache_clusters         = 1 + var.replicas
  automatic_failover_enabled = var.replicas > 0
  multi_az_enabled           = var.replicas > 0

  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token_wo              = var.auth_token
  auth_token_wo_version      = var.auth_token_version

  # The former token holds until the next change: tasks that have it go on.
  auth_token_update_strategy = "ROTATE"

  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  snapshot_retention_limit   = 0
  maintenance_window         = "sun:05:30-sun:06:30"
  auto_minor_version_upgrade = true
  apply_immediately          = true
  tags                       = var.tags

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}

# MySQL: Aurora, or a single RDS instance where a few thousand messages a
# second are not needed. The database itself is made by `sponge migrate`, which
# chooses its character set.

locals {
  aurora = var.engine == "aurora-mysql"

  # docs/services.md says why. Isolation, time-outs and lock waits are set by
  # workers for their own sessions.
  parameters = {
    innodb_flush_log_at_trx_commit = "1"
    long_query_time                = "1"
    max_allowed_packet             = "67108864"
    slow_query_log                 = "1"
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-store"
  description = "MySQL"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-store" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "MySQL, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-store-monitoring"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

data "aws_partition" "this" {}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

# --- Aurora

resource "aws_rds_cluster_parameter_group" "this" {
  count = local.aurora ? 1 : 0

  name        = var.name
  family      = "aurora-mysql8.0"
  description = "What Sponge relies on"
  tags        = var.tags

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  parameter {
    name         = "require_secure_transport"
    value        = "ON"
    apply_method = "pending-reboot"
  }
}

resource "aws_rds_cluster" "this" {
  #checkov:skip=CKV_AWS_162:Workers log in with a password of their own secret; tokens of IAM last 15 minutes, and a worker opens connections at any time
  #checkov:skip=CKV_AWS_139:Protection is on by default; deletion_protection turns it off for a trial
  #checkov:skip=CKV2_AWS_8:Aurora keeps continuous backups for backup_retention_days by itself; AWS Backup would copy them to other accounts, which is for whoever has such
  #checkov:skip=CKV_AWS_326:Backtrack would take back what was acknowledged; a restore goes to a new cluster
  count = local.aurora ? 1 : 0

  cluster_identifier              = var.name
  engine                          = "aurora-mysql"
  engine_version                  = var.engine_version
  master_username                 = var.username
  master_password_wo              = var.password
  master_password_wo_version      = var.password_version
  port                            = var.port
  db_subnet_group_name            = aws_db_subnet_group.this.name
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.this[0].name
  vpc_security_group_ids          = [aws_security_group.this.id]

  storage_encrypted               = true
  kms_key_id                      = var.kms_key_arn
  backup_retention_period         = var.backup_retention_days
  preferred_backup_window         = "03:00-04:00"
  preferred_maintenance_window    = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot           = true
  deletion_protection             = var.deletion_protection
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${var.name}-final"
  enabled_cloudwatch_logs_exports = ["audit", "error", "slowquery"]
  tags                            = var.tags

  dynamic "serverlessv2_scaling_configuration" {
    for_each = var.instance_class == "db.serverless" ? [var.serverless_capacity] : []

    content {
      min_capacity = serverlessv2_scaling_configuration.value.min
      max_capacity = serverlessv2_scaling_configuration.value.max
    }
  }
}

resource "aws_rds_cluster_instance" "this" {
  # The first is the writer; another, in another zone, takes over.
  count = local.aurora ? var.instances : 0

  identifier                      = "${var.name}-${count.index}"
  cluster_identifier              = aws_rds_cluster.this[0].id
  engine                          = aws_rds_cluster.this[0].engine
  engine_version                  = aws_rds_cluster.this[0].engine_version
  instance_class                  = var.instance_class
  db_subnet_group_name            = aws_db_subnet_group.this.name
  publicly_accessible             = false
  auto_minor_version_upgrade      = true
  copy_tags_to_snapshot           = true
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  tags                            = var.tags
}

# --- a single instance

resource "aws_db_parameter_group" "this" {
  count = local.aurora ? 0 : 1

  name        = var.name
  family      = "mysql8.4"
  description = "What Sponge relies on"
  tags        = var.tags

  dynamic "parameter" {
    # Only RDS has a binary log to flush: Aurora's storage does not need one.
    for_each = merge(local.parameters, { sync_binlog = "1" })

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  parameter {
    name         = "require_secure_transport"
    value        = "1"
    apply_method = "pending-reboot"
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_161:Workers log in with a password of their own secret; tokens of IAM last 15 minutes, and a worker opens connections at any time
  #checkov:skip=CKV_AWS_157:multi_az is a variable: a small deployment may do with backups
  #checkov:skip=CKV_AWS_293:Protection is on by default; deletion_protection turns it off for a trial
  #checkov:skip=CKV_AWS_353:Performance Insights is not offered for the smallest classes; enhanced monitoring is on
  count = local.aurora ? 0 : 1

  identifier                      = var.name
  engine                          = "mysql"
  engine_version                  = var.engine_version
  instance_class                  = var.instance_class
  allocated_storage               = var.storage_gib
  max_allocated_storage           = var.storage_max_gib
  storage_type                    = "gp3"
  username                        = var.username
  password_wo                     = var.password
  password_wo_version             = var.password_version
  port                            = var.port
  db_subnet_group_name            = aws_db_subnet_group.this.name
  parameter_group_name            = aws_db_parameter_group.this[0].name
  vpc_security_group_ids          = [aws_security_group.this.id]
  multi_az                        = var.multi_az
  publicly_accessible             = false
  storage_encrypted               = true
  kms_key_id                      = var.kms_key_arn
  backup_retention_period         = var.backup_retention_days
  backup_window                   = "03:00-04:00"
  maintenance_window              = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  deletion_protection             = var.deletion_protection
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${var.name}-final"
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports = ["error", "slowquery"]
  tags                            = var.tags
}

# Secrets Manager holds what tasks are given. The values are write-only: no
# plan and no state has them. They change when values_version goes up, by the
# same apply that changes them at the database, at Valkey and at Kafka.

locals {
  # MSK takes credentials only from secrets of this prefix, in this form.
  names = merge(
    { for part in ["worker-key", "seal-key", "audit-key", "mysql", "redis"] : part => "${var.name}/${part}" },
    var.kafka_username == null ? {} : { kafka = "AmazonMSK_${var.name}" },
  )

  descriptions = {
    worker-key = "The workers' key: opens sealed passwords, signs session proofs"
    seal-key   = "The public key that edges seal passwords with"
    audit-key  = "The key that archives are signed with"
    mysql      = "DSN of the database"
    redis      = "URL of the channels"
    kafka      = "Kafka's username and password"
  }
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotated by values_version: a new worker key ends all sessions, and the others change together with the service that asks for them, which takes a deployment
  for_each = local.names

  name                    = each.value
  description             = local.descriptions[each.key]
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "worker_key" {
  secret_id                = aws_secretsmanager_secret.this["worker-key"].id
  secret_string_wo         = var.values.worker_key
  secret_string_wo_version = var.keys_version
}

resource "aws_secretsmanager_secret_version" "seal_key" {
  secret_id                = aws_secretsmanager_secret.this["seal-key"].id
  secret_string_wo         = var.values.seal_key
  secret_string_wo_version = var.keys_version
}

resource "aws_secretsmanager_secret_version" "audit_key" {
  secret_id                = aws_secretsmanager_secret.this["audit-key"].id
  secret_string_wo         = var.values.audit_key
  secret_string_wo_version = var.keys_version
}

resource "aws_secretsmanager_secret_version" "mysql" {
  secret_id                = aws_secretsmanager_secret.this["mysql"].id
  secret_string_wo         = "${var.mysql.username}:${var.values.mysql_password}@tcp(${var.mysql.host}:${var.mysql.port})/${var.mysql.database}?tls=${var.mysql.tls}"
  secret_string_wo_version = var.values_version
}

resource "aws_secretsmanager_secret_version" "redis" {
  secret_id                = aws_secretsmanager_secret.this["redis"].id
  secret_string_wo         = "rediss://:${var.values.redis_token}@${var.redis.host}:${var.redis.port}/0"
  secret_string_wo_version = var.values_version
}

resource "aws_secretsmanager_secret_version" "kafka" {
  count = var.kafka_username == null ? 0 : 1

  secret_id                = aws_secretsmanager_secret.this["kafka"].id
  secret_string_wo         = jsonencode({ username = var.kafka_username, password = var.values.kafka_password })
  secret_string_wo_version = var.values_version
}

# MSK reads its secret by itself.
resource "aws_secretsmanager_secret_policy" "kafka" {
  count = var.kafka_username == null ? 0 : 1

  secret_arn = aws_secretsmanager_secret.this["kafka"].arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AWSKafkaResourcePolicy"
      Effect    = "Allow"
      Principal = { Service = "kafka.amazonaws.com" }
      Action    = "secretsmanager:getSecretValue"
      Resource  = aws_secretsmanager_secret.this["kafka"].arn
    }]
  })
}

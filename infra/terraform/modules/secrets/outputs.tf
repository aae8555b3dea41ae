output "arns" {
  description = "ARN of each secret: worker-key, seal-key, audit-key, mysql, redis and, where there is one, kafka."
  value       = { for part, secret in aws_secretsmanager_secret.this : part => secret.arn }

  # Tasks that start before there is a value fail.
  depends_on = [
    aws_secretsmanager_secret_version.worker_key,
    aws_secretsmanager_secret_version.seal_key,
    aws_secretsmanager_secret_version.audit_key,
    aws_secretsmanager_secret_version.mysql,
    aws_secretsmanager_secret_version.redis,
    aws_secretsmanager_secret_version.kafka,
  ]
}

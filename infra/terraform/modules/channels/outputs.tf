output "host" {
  description = "Host of the primary; it follows a failover."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "member_ids" {
  description = "The nodes, as metrics have them."
  value       = [for i in range(1 + var.replicas) : format("%s-%03d", var.name, i + 1)]
}

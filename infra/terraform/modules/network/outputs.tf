output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its IPv4 range."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Public subnets, one a zone, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Private subnets, one a zone, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "zones" {
  description = "Names of the zones."
  value       = var.zones
}

output "security_group_ids" {
  description = "Security groups of the roles: edge, workers and audit."
  value       = { for role, group in aws_security_group.role : role => group.id }
}
